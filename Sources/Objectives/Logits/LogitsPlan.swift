import CKernels

/// The term of one row, from student logits s and teacher logits t at temperature T.
package enum RowLoss: Sendable, Equatable {
  /// T^power · Σ φ(log q, log p) over the classes, p = softmax(t/T), q = softmax(s/T): see `rtk_divergence_kind`.
  case divergence(rtk_divergence_kind, parameter: Double, power: Int)
  /// T² (a · KL of target and rest + b · KL inside the rest), which needs the row's label.
  case decoupledKL(target: Double, rest: Double)
  /// Σ |p₍ᵢ₎ − q₍ᵢ₎| over sorted probabilities; the two may have different numbers of classes.
  case sortedL1
  /// The mean over labels of T² · KL of σ(t/T) and σ(s/T), each with its complement.
  case bernoulliKL

  /// The factor of the kernels' sum.
  func factor(_ temperature: Float) -> Double {
    guard case .divergence(_, _, let power) = self else { return 1 }
    return (0..<power).reduce(1) { product, _ in product * Double(temperature) }
  }

  /// Whether this is T²·KL(p ‖ q), which has its own kernels.
  var isForwardKL: Bool { if case .divergence(RTK_FORWARD_KL, _, _) = self { true } else { false } }

  /// The highest temperature for those kernels: they subtract logarithms of float sums, whose rounding T² multiplies
  /// while the divergence itself falls like 1/T².
  static let fastTemperatures: ClosedRange<Float> = 0...8
}

/// The logits with which a part of the loss compares the student's.
package enum LogitsTarget: Sendable, Hashable {
  /// None: the part uses only the labels.
  case labels
  /// The logits of one teacher, by its index among the step's teachers.
  case teacher(Int)
  /// Σ w_i t_i over all teachers.
  case meanLogits
  /// T · log Σ w_i softmax(t_i / T) over all teachers, at this T.
  case meanProbabilities(Float)
}

/// The resolved terms on logits of one optimizer step.
///
/// A pass adds Σ over parts and rows of weight · (a row's term) to the loss.
package struct LogitsPlan: Sendable {
  /// A cross-entropy with the labels, over rows with a label.
  package struct CrossEntropy: Sendable {
    /// The index among the step's terms.
    package var term: Int
    /// The term's weight divided by the labelled rows of the step.
    package var weight: Double
    /// ε: the label's class gets 1 − ε, and every class ε / C.
    package var smoothing: Double
  }

  /// A comparison with one target.
  package struct Part: Sendable {
    /// The index among the step's terms.
    package var term: Int
    package var loss: RowLoss
    package var temperature: Float
    package var target: LogitsTarget
    /// The term's weight divided by the rows of the step, without the share.
    package var weight: Double
    /// This teacher's share of the term.
    package var share: Double
    /// Whether each row multiplies the share by the teacher's probability of the label and normalises the shares of all
    /// teachers to a sum of 1.
    package var byConfidence: Bool = false
  }

  /// A comparison of outputs with numbers, element by element, over rows with targets.
  package struct ValueTerm: Sendable {
    /// The index among the step's terms.
    package var term: Int
    package var loss: TargetLoss
    /// The term's weight divided by the labelled rows of the step.
    package var weight: Double
  }

  /// The terms with classes.
  package var crossEntropies: [CrossEntropy] = []
  /// The terms with numbers.
  package var valueTerms: [ValueTerm] = []
  /// The terms with the teachers.
  package var parts: [Part] = []
  /// The number of sums that the loss reports.
  package var termCount: Int
  /// w_i of the step's teachers, normalised to a sum of 1.
  package var teacherWeights: [Double] = []
  /// n, if the terms with teachers compare the classes 0 ..< n alone; nil: all classes. Terms with the targets of the
  /// data are over all classes of the student.
  package var sharedClasses: Int?

  /// Creates an empty plan for `termCount` terms.
  package init(termCount: Int, teacherWeights: [Double] = [], sharedClasses: Int? = nil) {
    self.termCount = termCount
    self.teacherWeights = teacherWeights
    self.sharedClasses = sharedClasses
  }

  /// The first of a student's classes that the terms with teachers compare.
  func compared(of classes: Int) -> Int { min(classes, sharedClasses ?? classes) }

  /// Adds a comparison with the targets of the data.
  mutating func add(_ loss: TargetLoss, term: Int, weight: Double) {
    if case .crossEntropy(let smoothing) = loss {
      crossEntropies.append(CrossEntropy(term: term, weight: weight, smoothing: smoothing))
    } else {
      valueTerms.append(ValueTerm(term: term, loss: loss, weight: weight))
    }
  }

  /// Only −log softmax(logits)[label], Σ over rows.
  package static let crossEntropySum: LogitsPlan = {
    var plan = LogitsPlan(termCount: 1)
    plan.crossEntropies = [CrossEntropy(term: 0, weight: 1, smoothing: 0)]
    return plan
  }()

  /// Whether any term has a nonzero weight, and so a gradient.
  var hasGradient: Bool {
    crossEntropies.contains { $0.weight != 0 } || valueTerms.contains { $0.weight != 0 }
      || parts.contains { $0.weight * $0.share != 0 }
  }

  /// The part of each cross-entropy that label smoothing adds: −(ε/C) Σ log q over labelled rows.
  var smoothingParts: [Part] {
    crossEntropies.filter { $0.smoothing != 0 }.map {
      Part(
        term: $0.term, loss: .divergence(RTK_UNIFORM_CROSS_ENTROPY, parameter: 0, power: 0), temperature: 1,
        target: .labels,
        weight: $0.weight, share: $0.smoothing)
    }
  }
}
