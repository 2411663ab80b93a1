import Autograd
import CKernels
import Models
import Tensors

/// Which of a token's queries, keys and values an attention matrix is made of: the matrix of queries and keys is
/// attention, that of any with itself a relation.
enum TokenVectors: Int {
  case queries, keys, values

  /// Where they begin in a row of queries, keys and values, in floats.
  func first(_ shape: ModelShape) -> Int {
    switch self {
    case .queries: 0
    case .keys: shape.heads * shape.headSize
    case .values: (shape.heads + shape.keyValueHeads) * shape.headSize
    }
  }

  /// Heads of them.
  func heads(_ shape: ModelShape) -> Int { self == .queries ? shape.heads : shape.keyValueHeads }

  /// Floats of a token's, all heads together.
  func width(_ shape: ModelShape) -> Int { heads(shape) * shape.headSize }
}

/// Two attention matrices that are compared head by head, [S, S] of each sequence, and never kept.
struct AttentionComparison {
  let kind: rtk_comparison
  let isCausal: Bool
  /// The rows' vectors and the columns'.
  let rows: TokenVectors
  let columns: TokenVectors
  /// Heads that vectors are cut into; nil: the models' own.
  let relationHeads: Int?
}

extension Tape {
  /// factor · Σ of some comparisons over sequences, heads and what their kind sums, and the sum without the factor.
  ///
  /// - Parameters:
  ///   - x: the student's queries, keys and values, [T, (H + 2·H_kv)·D].
  ///   - target: the teacher's.
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
    return rtk_attention_comparison(
      offsets: offsets, B: pass.offsets.count - 1, kind: comparison.kind, causal: comparison.isCausal, heads: heads,
      key_heads: keyHeads, size: size, teacher_heads: teacherHeads,
      teacher_key_heads: comparison.relationHeads ?? columns.heads(teacher), teacher_size: teacherSize,
      q_stride: own, k_stride: own, teacher_q_stride: theirs, teacher_k_stride: theirs,
      scale: 1 / Float(size).squareRoot(), teacher_scale: 1 / Float(teacherSize).squareRoot())
  }
}
