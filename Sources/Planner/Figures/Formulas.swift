/// The formulas of the literature; Retort's own figures follow from them with its formats.
public enum Formulas {
  /// Bytes of weights, gradients and optimizer state of Ψ parameters on each of N ranks (Rajbhandari et al., 2020):
  /// w + g + o bytes per parameter; a sharding divides the last, the last two or all of them by N.
  ///
  /// Adam in mixed precision has w = g = 2 and o = 12: 16Ψ, 4Ψ + 12Ψ/N, 2Ψ + 14Ψ/N, 16Ψ/N. Retort has weights and
  /// gradients in f32, w = g = 4 and o = 8: 16Ψ, 8Ψ + 8Ψ/N, 4Ψ + 12Ψ/N, 16Ψ/N.
  public static func stateBytes(
    _ parameters: Double, ranks: Int, _ sharding: Layout.Sharding, weight w: Double = 4, gradient g: Double = 4,
    optimizer o: Double = 8
  ) -> Double {
    let n = Double(ranks)
    return switch sharding {
    case .none: (w + g + o) * parameters
    case .optimizer: (w + g) * parameters + o * parameters / n
    case .gradients: w * parameters + (g + o) * parameters / n
    case .parameters: (w + g + o) * parameters / n
    }
  }

  /// The parts of a transformer layer that the backward pass recomputes (Korthikanti et al., 2022).
  public enum Recomputation: Sendable, CaseIterable {
    /// Nothing is recomputed: s·b·h·(34 + 5·a·s/h).
    case none
    /// Attention is recomputed, as by a kernel that keeps no probabilities: 34·s·b·h.
    case attention
    /// The whole layer is recomputed from its input: 2·s·b·h.
    case layer
  }

  /// Bytes of a layer's activations in half precision: s tokens of b sequences, hidden size h, a heads.
  public static func activationBytes(
    length s: Double, sequences b: Double, hidden h: Double, heads a: Double, _ recomputation: Recomputation
  ) -> Double {
    switch recomputation {
    case .none: s * b * h * (34 + 5 * a * s / h)
    case .attention: 34 * s * b * h
    case .layer: 2 * s * b * h
    }
  }

  /// 2·Ψ·T, the usual count of a forward pass: every weight once per token, without attention and lookups.
  public static func forwardFLOPs(parameters: Double, tokens: Double) -> Double { 2 * parameters * tokens }

  /// 6·Ψ·T, the usual count of a forward and a backward pass.
  public static func trainingFLOPs(parameters: Double, tokens: Double) -> Double { 6 * parameters * tokens }

  /// The bytes that each of N ranks sends in an allreduce of n bytes: 2·(N − 1)/N·n, in two halves.
  public static func allReduceBytes(_ bytes: Double, ranks: Int) -> Double {
    2 * halfBytes(bytes, ranks: ranks)
  }

  /// The bytes that each of N ranks sends in a reduce-scatter or an all-gather of n bytes: (N − 1)/N·n.
  public static func halfBytes(_ bytes: Double, ranks: Int) -> Double {
    bytes * Double(ranks - 1) / Double(ranks)
  }

  /// Payload of a tensor-parallel forward pass: two sums of [T, h] in each of L layers, e bytes per element.
  public static func tensorParallelPayload(layers: Int, tokens: Int, hidden: Int, elementBytes: Int) -> Int {
    2 * layers * tokens * hidden * elementBytes
  }

  /// Payload of one boundary between two pipeline stages: [T, h].
  public static func boundaryPayload(tokens: Int, hidden: Int, elementBytes: Int) -> Int {
    tokens * hidden * elementBytes
  }

  /// The share of a pipeline's time in which a stage is idle: (S − 1)/(S − 1 + M) for M micro-batches.
  public static func bubble(stages: Int, microBatches: Int) -> Double {
    Double(stages - 1) / Double(stages - 1 + max(1, microBatches))
  }
}
