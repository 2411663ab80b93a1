/// How the ranks exchange a student's gradients and weights.
package struct ExchangeOptions: Sendable, Equatable {
  /// How a number travels between nodes.
  package enum Wire: String, Sendable, CaseIterable {
    case fp32
    /// Two bytes instead of four.
    case bf16
  }

  /// Gradients: sums are float32 in any case. With bf16 a node rounds the sum of its ranks, and adds what the rounding
  /// left out to the sum of its next step.
  package var gradients: Wire
  /// Updated weights. With bf16 the weights travel that passes read in bf16 only, as passes read them, so that every
  /// student is the same; the others, and all weights for checkpoints, travel in float32.
  package var weights: Wire
  /// The most ranks of a node that share memory; nil for all of them. With 1, all ranks exchange messages.
  package var nodeRanks: Int?

  /// Makes the options; the defaults are those of a chain file without the key.
  package init(gradients: Wire = .fp32, weights: Wire = .fp32, nodeRanks: Int? = nil) {
    self.gradients = gradients
    self.weights = weights
    self.nodeRanks = nodeRanks
  }
}
