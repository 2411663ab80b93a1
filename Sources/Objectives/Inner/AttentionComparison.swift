import Autograd
import CKernels
import Layers
import Models
import Tensors

/// The vectors of a token that an attention matrix compares: queries with keys give attention, any kind with itself
/// gives a relation.
enum TokenVectors: Int {
  case queries, keys, values

  /// The offset of these vectors in a row of queries, keys and values, in floats.
  func first(_ shape: ModelShape) -> Int {
    switch self {
    case .queries: 0
    case .keys: shape.heads * shape.headSize
    case .values: (shape.heads + shape.keyValueHeads) * shape.headSize
    }
  }

  /// The number of heads of these vectors.
  func heads(_ shape: ModelShape) -> Int { self == .queries ? shape.heads : shape.keyValueHeads }

  /// Floats per token, over all heads.
  func width(_ shape: ModelShape) -> Int { heads(shape) * shape.headSize }
}

/// A head-by-head comparison of two attention matrices, [S, S] per sequence, which are never stored.
struct AttentionComparison {
  let kind: rtk_comparison
  let isCausal: Bool
  /// The window of the attention; nil without one. A relation compares all tokens that causality allows.
  let reach: Int?
  /// The vectors of the matrix's rows and of its columns.
  let rows: TokenVectors
  let columns: TokenVectors
  /// The number of relation heads into which vectors are split; nil for the models' own heads.
  let relationHeads: Int?

  /// Compares the models' own attention.
  init(attention kind: rtk_comparison, _ pass: InnerPass) {
    self.kind = kind
    isCausal = pass.student.isCausal
    reach = pass.student.reach(ofLayer: pass.pair.student)
    (rows, columns, relationHeads) = (.queries, .keys, nil)
  }

  /// The KL divergence of the relations of vectors of one kind.
  init(relationOf vectors: TokenVectors, heads: Int, _ pass: InnerPass) {
    kind = RTK_COMPARE_KL
    isCausal = pass.student.isCausal
    reach = nil
    (rows, columns, relationHeads) = (vectors, vectors, heads)
  }
}

/// An inner objective on attention matrices of the pairs that a layer map names.
protocol AttentionObjective: InnerObjective {
  var layers: LayerMap { get }
  /// The comparisons of one pair, whose sums are added.
  func comparisons(_ pass: InnerPass) -> [AttentionComparison]
}

extension AttentionObjective {
  func pairs(student: ModelShape, teacher: ModelShape) throws -> [LayerPair] {
    let pairs = try layers.checkedPairs(student: student, teacher: teacher, least: 1)
    try requireProducts(student, teacher)
    for pair in pairs { try requireComparable(pair, student, teacher) }
    return pairs
  }

  /// Throws `ObjectiveRefusal` for a model whose attention does not follow from queries and keys alone.
  func requireProducts(_ student: ModelShape, _ teacher: ModelShape) throws {
    for (shape, whose) in [(student, "student"), (teacher, "teacher")] where shape.hasAttentionBias {
      throw ObjectiveRefusal(
        key: nil, what: "compares products of queries and keys, and the \(whose)'s attention adds a bias by distance",
        remedy: "use relation_kl or comparisons of hidden states")
    }
  }

  /// Throws `ObjectiveRefusal` unless the queries of both layers attend to the same keys.
  func requireComparable(_ pair: LayerPair, _ student: ModelShape, _ teacher: ModelShape) throws {
    let (own, theirs) = (student.reach(ofLayer: pair.student), teacher.reach(ofLayer: pair.teacher))
    if own == theirs { return }
    func text(_ reach: Int?) -> String { reach.map { "to tokens at most \($0) away" } ?? "to all tokens" }
    throw ObjectiveRefusal(
      key: "layers",
      what: "compares layer \(pair.student) of the student, which attends \(text(own)), with layer \(pair.teacher) of "
        + "the teacher, which attends \(text(theirs))",
      remedy: "name pairs of layers with the same window, or use relation_kl, which compares all tokens")
  }

  func point(of layer: Int) -> PassPoint { .projections(layer) }

  func loss(_ x: Variable, _ target: Tensor, _ pass: InnerPass, factor: Double, on tape: Tape) -> LossTerm {
    tape.compareAttention(x, target, comparisons(pass), pass, factor: factor)
  }
}

extension Tape {
  /// factor · Σ of the comparisons over sequences, heads and the entries that each kind sums, and the sum without the
  /// factor.
  ///
  /// - Parameters:
  ///   - x: the student's queries, keys and values, [T, (H + 2·H_kv)·D].
  ///   - target: the teacher's queries, keys and values.
  func compareAttention(
    _ x: Variable, _ target: Tensor, _ comparisons: [AttentionComparison], _ pass: InnerPass, factor: Double
  ) -> LossTerm {
    let (own, theirs) = (x.value.converted(to: .float32), target.converted(to: .float32))
    precondition(own.rows == theirs.rows, "attention over \(own.rows) tokens of a student and \(theirs.rows)")
    let gradient = Tensor.zeros(own.shape)
    let sum = comparisons.reduce(0.0) { $0 + compare(own, theirs, $1, pass, factor: factor, into: gradient) }
    return LossTerm(loss: loss(factor * sum, of: x, gradient: gradient), sum: sum)
  }

  /// The sum of one comparison; `gradient` += factor · d(sum)/dx.
  private func compare(
    _ own: Tensor, _ theirs: Tensor, _ comparison: AttentionComparison, _ pass: InnerPass, factor: Double,
    into gradient: Tensor
  ) -> Double {
    let (a, b) = (comparison.rows, comparison.columns)
    let longest = zip(pass.offsets, pass.offsets.dropFirst()).reduce(0) { max($0, Int($1.1 - $1.0)) }
    let sequences = pass.offsets.count - 1
    return pass.offsets.withUnsafeBufferPointer { offsets in
      let shape = Tape.shape(comparison, pass, offsets.baseAddress, own.columns, theirs.columns)
      let pairs = sequences * shape.key_heads
      let values = RowNumbers<Double>(pairs, 0)
      let cost = max(1, own.rows * longest * shape.size / max(1, sequences))
      ThreadTeam.split(pairs, cost: cost, isUneven: true) { part in
        var shape = shape
        let scratch = Storage(bytes: 4 * rtk_compare_attention_scratch(&shape, longest))
        let (first, second) = (a.first(pass.student), b.first(pass.student))
        rtk_compare_attention(
          &shape, values.start, gradient.floats + first, gradient.floats + second, own.floats + first,
          own.floats + second, theirs.floats + a.first(pass.teacher), theirs.floats + b.first(pass.teacher),
          Float(factor), scratch.address.assumingMemoryBound(to: Float.self), part.lowerBound, part.upperBound)
      }
      return values.buffer.reduce(0, +)
    }
  }

  private static func shape(
    _ comparison: AttentionComparison, _ pass: InnerPass, _ offsets: UnsafePointer<Int32>?, _ own: Int, _ theirs: Int
  ) -> rtk_attention_comparison {
    let (student, teacher) = (pass.student, pass.teacher)
    let (rows, columns) = (comparison.rows, comparison.columns)
    let heads = comparison.relationHeads ?? rows.heads(student)
    let keyHeads = comparison.relationHeads ?? columns.heads(student)
    let teacherHeads = comparison.relationHeads ?? rows.heads(teacher)
    let size = rows.width(student) / heads
    let teacherSize = rows.width(teacher) / teacherHeads
    // A relation compares vectors of one kind, whatever attention does with them.
    let isAttention = comparison.relationHeads == nil
    let scale = isAttention ? student.scale(ofLayer: pass.pair.student) : nil
    let teacherScale = isAttention ? teacher.scale(ofLayer: pass.pair.teacher) : nil
    return rtk_attention_comparison(
      offsets: offsets, B: pass.offsets.count - 1, kind: comparison.kind, causal: comparison.isCausal,
      reach: comparison.reach ?? .max, heads: heads, key_heads: keyHeads, size: size, teacher_heads: teacherHeads,
      teacher_key_heads: comparison.relationHeads ?? columns.heads(teacher), teacher_size: teacherSize,
      q_stride: own, k_stride: own, teacher_q_stride: theirs, teacher_k_stride: theirs,
      scale: scale ?? 1 / Float(size).squareRoot(),
      teacher_scale: teacherScale ?? 1 / Float(teacherSize).squareRoot())
  }
}
