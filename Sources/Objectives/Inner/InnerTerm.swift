import Autograd
import Layers
import Models
import Tensors

/// An inner objective of a step for one student and one teacher: its pairs of layers, and the projections that are
/// trained with the student.
package final class InnerTerm {
  /// Its place among the step's terms.
  let index: Int
  let objective: any InnerObjective
  /// Its teacher, by its place among the step's.
  let teacher: Int
  let pairs: [LayerPair]
  private let student: ModelShape
  private let teacherShape: ModelShape
  /// The projection of each pair; nil where widths are compared as they are.
  private let projections: [Linear?]

  /// - Parameter name: the term's, of which the projections have theirs.
  /// Throws `ObjectiveRefusal` for what cannot be compared.
  package init(
    _ objective: any InnerObjective, index: Int, name: String, teacher: Int, student: ModelShape,
    teacherShape: ModelShape, seed: UInt64 = 0
  ) throws {
    self.objective = objective
    self.index = index
    self.teacher = teacher
    self.student = student
    self.teacherShape = teacherShape
    pairs = try objective.pairs(student: student, teacher: teacherShape)
    projections = try InnerTerm.projections(
      objective.projection, name, pairs.count, from: student.hidden, to: teacherShape.hidden)
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

  /// Uniform in ±1/√inputs, PyTorch's default for a linear layer.
  private static func initialize(_ linear: Linear, seed: UInt64) {
    let bound = 1 / Float(linear.weight.value.columns).squareRoot()
    for parameter in linear.parameters {
      Initializer.uniform(parameter.value, bound: bound, seed: seed, name: parameter.name)
    }
  }

  /// What it reads of its teacher.
  package var needs: [PassPoint: Reading] {
    Dictionary(pairs.map { (objective.point(of: $0.teacher), type(of: objective).reading) }, uniquingKeysWith: max)
  }

  /// How much of the student's value at a point it reads.
  func reading(of point: PassPoint) -> Reading {
    pairs.contains { objective.point(of: $0.student) == point } ? type(of: objective).reading : .nothing
  }

  /// The weights of the projections with the points of the student that they read.
  package var parameters: [(point: PassPoint, parameters: [Parameter])] {
    zip(pairs, projections).compactMap { pair, linear in
      linear.map { (objective.point(of: pair.student), $0.parameters) }
    }
  }

  /// Floats per token that the term keeps in a pass: the teacher's values, and the gradients of the student's and of
  /// projected values. Those of first tokens and pooled outputs are not worth counting.
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

  /// How many numbers the mean of a pair is over.
  func denominator(_ counts: StepCounts) -> Double { objective.denominator(counts, student: student) }

  /// Σ over pairs counts 1, the mean of pairs 1 / pairs.
  var share: Double { objective.averagesLayers ? 1 / Double(pairs.count) : 1 }

  /// Adds the term of the pairs at a point to the losses of the pass; returns Σ over them of the term, undivided.
  ///
  /// - Parameter factor: the term's weight / denominator; 0 reports the term and costs no gradient.
  func add(
    at point: PassPoint, _ x: Variable, _ signals: TeacherSignals, offsets: [Int32], factor: Double,
    _ context: ForwardContext
  ) -> Double {
    var sum = 0.0
    let pass = InnerPass(offsets: offsets, student: student, teacher: teacherShape)
    for (pair, linear) in zip(pairs, projections) where objective.point(of: pair.student) == point {
      guard let given = signals.values[objective.point(of: pair.teacher)] else {
        preconditionFailure("the teacher gave nothing at \(objective.point(of: pair.teacher))")
      }
      // Other terms may read all tokens at the same point.
      let isCut = type(of: objective).reading == .firstTokens
      let own = isCut ? firstTokens(x, offsets, context) : x
      let target = isCut ? firstTokens(Variable(constant: given), offsets, context).value : given
      let projected = linear.map { $0.wide(own, context) } ?? own
      let term = objective.loss(projected, target, pass, factor: share * factor, on: context.tape)
      if factor != 0 { context.tape.addLoss(term.loss) }
      sum += share * term.sum
    }
    return sum
  }

  /// The states of first tokens, [B, hidden], of those of all tokens or of these alone.
  private func firstTokens(_ x: Variable, _ offsets: [Int32], _ context: ForwardContext) -> Variable {
    x.value.rows == offsets.count - 1 ? x : context.tape.selectRows(x, Array(offsets.dropLast()))
  }
}

/// Adds the inner terms of a step to a student's pass.
package final class InnerTermObserver: PassObserver {
  private let terms: [InnerTerm]
  private let signals: [TeacherSignals?]
  private let offsets: [Int32]
  /// Of each term: its weight / its denominator.
  private let factors: [Double]
  /// Σ of each of the step's terms over what this pass has shown so far, undivided.
  package private(set) var sums: [Double]

  /// - Parameters:
  ///   - signals: of the step's teachers, for the sequences of the pass.
  ///   - weights: of all terms of the step.
  package init(
    _ terms: [InnerTerm], signals: [TeacherSignals?], offsets: [Int32], weights: [Double], counts: StepCounts
  ) {
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
      let sum = term.add(at: point, x, signals, offsets: offsets, factor: factor, context)
      if !context.isRecomputing { sums[term.index] += sum }
    }
  }
}
