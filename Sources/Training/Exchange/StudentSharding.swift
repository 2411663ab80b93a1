/// The part of a student's weights, gradients and moments that is sharded over ranks (Rajbhandari et al., 2020).
package enum StudentSharding: String, Sendable, CaseIterable {
  /// Nothing: every rank has everything and takes the whole optimizer step.
  case none
  /// The optimizer's moments and its work (ZeRO-1).
  case optimizer
  /// Also gradients: a rank keeps the sums of its blocks (ZeRO-2).
  case gradients
  /// Also weights: a rank keeps its blocks and gathers a layer's weights while a pass is in the layer (ZeRO-3).
  case parameters
}

/// Bytes of a student on one rank, all float32, without activations and temporary memory.
package struct StudentMemory: Sendable, Equatable {
  /// The weights that are kept between steps.
  package var weights: Int
  /// The gradients that are kept over the passes of a step, without those of lookup tables, which cover touched rows
  /// only.
  package var gradients: Int
  /// First and second moments, including those of rows that no step has touched, which use no memory yet.
  package var moments: Int

  /// weights + gradients + moments.
  package var total: Int { weights + gradients + moments }

  /// The bytes that each of N ranks keeps: 16Ψ, 8Ψ + 8Ψ/N, 4Ψ + 12Ψ/N or 16Ψ/N for Ψ dense weights; 4T + 8T/N for T
  /// weights in lookup tables, or 12T/N with sharded weights.
  ///
  /// The rounding of blocks up to cache lines is not counted.
  /// - Parameters:
  ///   - dense: Ψ, the weights outside lookup tables.
  ///   - tables: T, the weights in lookup tables.
  package init(dense: Int, tables: Int, sharding: StudentSharding, ranks: Int) {
    let parts = sharding.strategy.parts
    func kept(_ part: KeptParts.Part, of count: Int) -> Int { part == .owned ? (count + ranks - 1) / ranks : count }
    weights = 4 * (kept(parts.weights, of: dense) + kept(parts.weights, of: tables))
    gradients = 4 * kept(parts.gradients, of: dense)
    moments = 8 * (kept(parts.updated, of: dense) + kept(.owned, of: tables))
  }

  init(weights: Int, gradients: Int, moments: Int) {
    self.weights = weights
    self.gradients = gradients
    self.moments = moments
  }
}
