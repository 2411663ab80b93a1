/// The usual formulas of what ranks send each other and wait for.
package enum Formulas {
  /// The bytes that each of N ranks sends in an allreduce of n bytes: 2·(N − 1)/N·n, in two halves.
  package static func allReduceBytes(_ bytes: Double, ranks: Int) -> Double {
    2 * halfBytes(bytes, ranks: ranks)
  }

  /// The bytes that each of N ranks sends in a reduce-scatter or an all-gather of n bytes: (N − 1)/N·n.
  package static func halfBytes(_ bytes: Double, ranks: Int) -> Double {
    bytes * Double(ranks - 1) / Double(ranks)
  }

  /// Payload of one boundary between two pipeline stages: [T, h].
  package static func boundaryPayload(tokens: Int, hidden: Int, elementBytes: Int) -> Int {
    tokens * hidden * elementBytes
  }

  /// The share of a pipeline's time in which a stage is idle: (S − 1)/(S − 1 + M) for M micro-batches.
  package static func bubble(stages: Int, microBatches: Int) -> Double {
    Double(stages - 1) / Double(stages - 1 + max(1, microBatches))
  }
}
