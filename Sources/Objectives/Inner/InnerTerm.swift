import Autograd
import Layers
import Models
import Tensors

/// An inner objective of a step for one student and one teacher: its layer pairs, and the projections trained with the
/// student.
package final class InnerTerm {
  /// The term's index among the step's terms.
  package let index: Int
  let objective: any InnerObjective
  /// The teacher's index among the step's teachers.
  package let teacher: Int
  let pairs: [LayerPair]
  private let student: ModelShape
  private let teacherShape: ModelShape
  /// The projection of each pair; nil for an unprojected pair.
  private let projections: [Linear?]

  /// Prepares the term and creates its projections.
  ///
  /// - Parameters:
  ///   - name: a prefix of its projections' names.
  ///   - seed: of the projections' initial weights; without one they stay zero and take no memory, for checks.
  /// Throws `ObjectiveRefusal` for models that the objective cannot compare.
  package init(
    _ objective: any InnerObjective, index: Int, name: String, teacher: Int, student: ModelShape,
    teacherShape: ModelShape, seed: UInt64? = nil
  ) throws {
    self.objective = objective
    self.index = index
    self.teacher = teacher
    self.student = student
    self.teacherShape = teacherShape
    pairs = try objective.pairs(student: student, teacher: teacherShape)
    projections = try InnerTerm.projections(
      objective.projection, name, pairs.count, from: student.hidden, to: teacherShape.hidden)
    guard let seed else { return }
    for linear in projections.compactMap({ $0 }) { InnerTerm.initialize(linear, seed: seed) }
  }

  private static func projections(
    _ rule: ProjectionRule?, _ name: String, _ count: Int, from inputs: Int, to outputs: Int
  ) throws -> [Linear?] {
    guard let rule, rule.use == .always || inputs != outputs else { return Array(repeating: nil, count: count) }
    if rule.use == .none {
      throw ObjectiveRefusal(
        key: "projection",
        what: "is none, and the student's states have \(inputs) numbers, the teacher's \(outputs)",
        remedy: "leave projection out: a trained linear layer then brings the widths together")
    }
    if rule.isShared {
      let linear = Linear("objectives.\(name)", inputs: inputs, outputs: outputs)
      return Array(repeating: linear, count: count)
    }
    return (0..<count).map { Linear("objectives.\(name).\($0)", inputs: inputs, outputs: outputs) }
  }

  /// Draws uniformly from ±1/√inputs, PyTorch's default for a linear layer.
  private static func initialize(_ linear: Linear, seed: UInt64) {
    let bound = 1 / Float(linear.weight.value.columns).squareRoot()
    for parameter in linear.parameters {
      Initializer.uniform(parameter.value, bound: bound, seed: seed, name: parameter.name)
    }
  }

  /// What the term reads of its teacher.
  package var needs: [PassPoint: Reading] {
    readsOutputs
      ? [:]
      : Dictionary(pairs.map { (objective.point(of: $0.teacher), type(of: objective).reading) }, uniquingKeysWith: max)
  }

  /// Whether the term reads the teacher's outputs, which are its pooled vectors.
  package var readsOutputs: Bool { teacherShape.pooledIsOutput && objective.readsPooled }

  /// Whether a pass needs the vectors of the whole batch (`BatchVectors`).
  package var comparesBatch: Bool { type(of: objective).comparesBatch }

  /// The teacher's pooled outputs among its signals, [B, D].
  package func pooled(of signals: TeacherSignals) -> Tensor? {
    readsOutputs ? signals.logits?.materialized : signals.values[.pooled]
  }

  /// How much the term reads of the student's value at a point.
  func reading(of point: PassPoint) -> Reading {
    pairs.contains { objective.point(of: $0.student) == point } ? type(of: objective).reading : .nothing
  }

  /// The weights of the projections, each with the point of the student that it reads.
  package var parameters: [(point: PassPoint, parameters: [Parameter])] {
    zip(pairs, projections).compactMap { pair, linear in
      linear.map { (objective.point(of: pair.student), $0.parameters) }
    }
  }

  /// Floats per token that the term keeps in a pass: the teacher's values, and the gradients of the student's values
  /// and of projected values. First tokens and pooled outputs are too small to count.
  var keptFloats: Int {
    if type(of: objective).reading != .allTokens { return 0 }
    func width(_ point: PassPoint, _ shape: ModelShape) -> Int {
      switch point {
      case .states: shape.hidden
      case .projections: shape.projectionWidth
      case .pooled: 0
      }
    }
    return zip(pairs, projections).reduce(0) { sum, item in
      let (pair, linear) = item
      let projected = linear == nil ? 0 : teacherShape.hidden
      return sum + width(objective.point(of: pair.teacher), teacherShape)
        + width(objective.point(of: pair.student), student) + projected
    }
  }

  /// The number of elements over which the mean of a pair is taken.
  func denominator(_ counts: StepCounts) -> Double { objective.denominator(counts, student: student) }

  /// The factor of each pair: 1 for a sum over pairs, 1 / pairs for a mean.
  var share: Double { objective.averagesLayers ? 1 / Double(pairs.count) : 1 }

  /// Adds the term of all pairs at a point to the losses of the pass; returns the term's sum over these pairs,
  /// undivided.
  ///
  /// - Parameters:
  ///   - whole: the vectors of the global batch; nil if this pass is all of it, or the term needs none.
  ///   - factor: the term's weight / denominator; 0 reports the term without computing a gradient.
  func add(
    at point: PassPoint, _ x: Variable, _ signals: TeacherSignals, offsets: [Int32], whole: BatchVectors?,
    factor: Double, _ context: ForwardContext
  ) -> Double {
    var sum = 0.0
    for (pair, linear) in zip(pairs, projections) where objective.point(of: pair.student) == point {
      let value = readsOutputs ? signals.logits?.materialized : signals.values[objective.point(of: pair.teacher)]
      guard let given = value else {
        preconditionFailure("the teacher gave nothing at \(objective.point(of: pair.teacher))")
      }
      // The value has all tokens if another term reads all tokens at this point.
      let isCut = type(of: objective).reading == .firstTokens
      let own = isCut ? firstTokens(x, offsets, context) : x
      let target = isCut ? firstTokens(Variable(constant: given), offsets, context).value : given
      let projected = linear.map { $0.wide(own, context) } ?? own
      let pass = InnerPass(offsets: offsets, student: student, teacher: teacherShape, pair: pair, whole: whole)
      let term = objective.loss(projected, target, pass, factor: share * factor, on: context.tape)
      if factor != 0 { context.tape.addLoss(term.loss) }
      sum += share * term.sum
    }
    return sum
  }

  /// The first-token states, [B, hidden], selected from all tokens unless x already has only first tokens.
  private func firstTokens(_ x: Variable, _ offsets: [Int32], _ context: ForwardContext) -> Variable {
    x.value.rows == offsets.count - 1 ? x : context.tape.selectRows(x, Array(offsets.dropLast()))
  }
}

/// Adds the inner terms of a step to a student's pass.
package final class InnerTermObserver: PassObserver {
  private let terms: [InnerTerm]
  private let signals: [TeacherSignals?]
  private let offsets: [Int32]
  /// The vectors of the global batch by the index of the term that needs them.
  private let whole: [Int: BatchVectors]
  /// Weight / denominator of each inner term.
  private let factors: [Double]
  /// Each step term's sum over the values that this pass has observed so far, undivided.
  package private(set) var sums: [Double]

  /// - Parameters:
  ///   - signals: one per teacher of the step, for the sequences of the pass.
  ///   - weights: one per term of the step.
  ///   - whole: the vectors of the global batch by the index of the term that compares it; none if a pass is all of it.
  package init(
    _ terms: [InnerTerm], signals: [TeacherSignals?], offsets: [Int32], weights: [Double], counts: StepCounts,
    whole: [Int: BatchVectors] = [:]
  ) {
    self.whole = whole
    self.terms = terms
    self.signals = signals
    self.offsets = offsets
    factors = terms.map { weights[$0.index] / $0.denominator(counts) }
    sums = [Double](repeating: 0, count: weights.count)
  }

  package func reading(of point: PassPoint) -> Reading { terms.lazy.map { $0.reading(of: point) }.max() ?? .nothing }

  package func observe(_ point: PassPoint, _ x: Variable, _ context: ForwardContext) {
    for (term, factor) in zip(terms, factors) where term.reading(of: point) != .nothing {
      guard let signals = signals[term.teacher] else { continue }
      let sum = term.add(
        at: point, x, signals, offsets: offsets, whole: whole[term.index], factor: factor, context)
      if !context.isRecomputing { sums[term.index] += sum }
    }
  }
}
