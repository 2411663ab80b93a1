import CKernels

/// What a term on logits computes of a row of student's logits s and teacher's logits t, at a temperature T.
public enum RowLoss: Sendable, Equatable {
  /// T^power · Σ φ(log q, log p) over the classes, p = softmax(t/T), q = softmax(s/T): see `rtk_divergence_kind`.
  case divergence(rtk_divergence_kind, parameter: Double, power: Int)
  /// T² (a · KL of target and rest + b · KL inside the rest), which needs the row's label.
  case decoupledKL(target: Double, rest: Double)
  /// Σ |p₍ᵢ₎ − q₍ᵢ₎| over sorted probabilities; the two may have different numbers of classes.
  case sortedL1

  /// What the sum that the kernels give is multiplied with.
  func factor(_ temperature: Float) -> Double {
    guard case .divergence(_, _, let power) = self else { return 1 }
    return (0..<power).reduce(1) { product, _ in product * Double(temperature) }
  }

  /// T²·KL(p ‖ q), which has kernels of its own.
  var isForwardKL: Bool { if case .divergence(RTK_FORWARD_KL, _, _) = self { true } else { false } }
}

/// Which logits a part of the loss compares the student's with.
package enum LogitsTarget: Sendable, Hashable {
  /// None: the labels alone.
  case labels
  /// Those of one teacher, by its place among the step's.
  case teacher(Int)
  /// Σ w_i t_i over all teachers.
  case meanLogits
  /// T · log Σ w_i softmax(t_i / T) over all teachers, at this T.
  case meanProbabilities(Float)
}

/// The terms on logits of one optimizer step with everything resolved: what a pass adds to the loss is
/// Σ over parts and rows of weight · (a row's term).
package struct LogitsPlan: Sendable {
  /// A cross-entropy with the labels; rows without a label are left out.
  package struct CrossEntropy: Sendable {
    /// Its place among the step's terms.
    package var term: Int
    /// The term's weight divided by the labelled rows of the step.
    package var weight: Double
    /// ε: the label has 1 − ε and every class ε / C.
    package var smoothing: Double
  }

  /// A comparison with one target.
  package struct Part: Sendable {
    /// Its place among the step's terms.
    package var term: Int
    package var loss: RowLoss
    package var temperature: Float
    package var target: LogitsTarget
    /// The term's weight divided by the rows of the step; without the share.
    package var weight: Double
    /// The part of the term that this teacher has.
    package var share: Double
    /// Whether the share is multiplied, row by row, by the teacher's probability of the label, and shares of a row are
    /// brought to a sum of 1.
    package var byConfidence: Bool = false
  }

  /// The terms with the labels.
  package var crossEntropies: [CrossEntropy] = []
  /// The terms with the teachers.
  package var parts: [Part] = []
  /// How many sums the loss reports.
  package var termCount: Int
  /// w_i of the step's teachers, which add up to 1.
  package var teacherWeights: [Double] = []

  /// No terms yet, of `termCount`.
  package init(termCount: Int, teacherWeights: [Double] = []) {
    self.termCount = termCount
    self.teacherWeights = teacherWeights
  }

  /// −log softmax(logits)[label] alone, Σ over rows.
  package static let crossEntropySum: LogitsPlan = {
    var plan = LogitsPlan(termCount: 1)
    plan.crossEntropies = [CrossEntropy(term: 0, weight: 1, smoothing: 0)]
    return plan
  }()

  /// Whether anything has a weight, and so a gradient.
  var hasGradient: Bool { crossEntropies.contains { $0.weight != 0 } || parts.contains { $0.weight * $0.share != 0 } }

  /// What label smoothing adds: −(ε/C) Σ log q of the labelled rows.
  var smoothingParts: [Part] {
    crossEntropies.filter { $0.smoothing != 0 }.map {
      Part(
        term: $0.term, loss: .divergence(RTK_UNIFORM_CROSS_ENTROPY, parameter: 0, power: 0), temperature: 1,
        target: .labels,
        weight: $0.weight, share: $0.smoothing)
    }
  }
}
