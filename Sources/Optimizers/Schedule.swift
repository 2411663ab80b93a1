import Platform

#if canImport(Glibc)
  import Glibc
#endif

/// The learning rate as a function of the optimizer step.
package struct Schedule: Sendable, Equatable {
  /// The shape after warm-up.
  package enum Kind: String, Sendable, CaseIterable {
    /// lr · (steps − i + 1) / (steps − warmup)
    case linear
    /// lr · ½ (1 + cos(π (i − warmup − 1) / (steps − warmup))) (Loshchilov and Hutter, 2017, without restarts)
    case cosine
    case constant
  }

  /// The shape after warm-up.
  package let kind: Kind
  /// The rate at the end of warm-up.
  package let peak: Double
  /// The optimizer steps of linear rise: step i has lr · i / warmup.
  package let warmup: Int
  /// All optimizer steps of the run.
  package let total: Int

  /// Makes the schedule of `total` optimizer steps; the rate rises to `peak` during the first `warmup` (≥ 0).
  package init(_ kind: Kind, peak: Double, warmup: Int, total: Int) {
    self.kind = kind
    self.peak = peak
    self.warmup = warmup
    self.total = total
  }

  /// The learning rate of an optimizer step, counted from 1.
  package func learningRate(step: Int) -> Double {
    if step <= warmup { return peak * Double(step) / Double(warmup) }
    let span = Double(max(1, total - warmup))
    switch kind {
    case .constant: return peak
    case .linear: return peak * max(0, Double(total - step + 1) / span)
    case .cosine: return peak * 0.5 * (1 + cos(Double.pi * min(1, Double(step - warmup - 1) / span)))
    }
  }
}
