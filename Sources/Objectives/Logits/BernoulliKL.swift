import Datasets

/// T²·KL of each label's two probabilities: it holds, or it does not.
struct BernoulliKL: LogitsObjective {
  static let kind = "bernoulli_kl"
  static let formula = "mean over labels of T² (p log(p/q) + (1 − p) log((1 − p)/(1 − q))), p = σ(t/T), q = σ(s/T)"
  static let source = "Hinton et al. (2015), label by label"
  static let options = [ObjectiveOption.temperature]
  static let outputs: Set<TaskDefinition.Output> = [.labels]
  static let comparesProbabilities = false

  let temperature: Scheduled

  init(_ options: ObjectiveOptions) { temperature = options.schedule("temperature") }

  var comparison: RowComparisonKind { .teacher(.bernoulliKL) }
}

extension BernoulliKL {
  /// The term of one row of C labels, and adds weight · its gradient by s.
  ///
  /// With a = t/T and b = s/T a label's divergence is p (ln(1 + e⁻ᵇ) − ln(1 + e⁻ᵃ)) + (1 − p) (ln(1 + eᵇ) −
  /// ln(1 + eᵃ)), and its derivative by b is q − p.
  static func row(
    _ s: UnsafePointer<Float>, _ t: UnsafePointer<Float>, _ count: Int, _ temperature: Float, weight: Float,
    gradient: UnsafeMutablePointer<Float>
  ) -> Double {
    var sum = 0.0
    for label in 0..<count {
      let (a, b) = (t[label] / temperature, s[label] / temperature)
      let (p, q) = (Logistic.sigmoid(a), Logistic.sigmoid(b))
      sum +=
        Double(p) * (Logistic.softplus(-b) - Logistic.softplus(-a))
        + Double(1 - p) * (Logistic.softplus(b) - Logistic.softplus(a))
      gradient[label] += weight * temperature * (q - p) / Float(count)
    }
    return sum * Double(temperature) * Double(temperature) / Double(count)
  }
}
