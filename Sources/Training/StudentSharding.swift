/// What ranks share out of a student's weights, gradients and moments (Rajbhandari et al., 2020).
public enum StudentSharding: String, Sendable, CaseIterable {
  /// Nothing: every rank has all and takes the whole step.
  case none
  /// The optimizer's moments and its work (ZeRO-1).
  case optimizer
  /// Gradients too: a rank keeps the sums of its blocks (ZeRO-2).
  case gradients
  /// Weights too: a rank keeps its blocks and gets a layer's weights while it is inside the layer (ZeRO-3).
  case parameters

  /// Whether the sums of gradients are kept by their owners alone, and leave after every pass.
  var sharesGradients: Bool { self == .gradients || self == .parameters }
}

/// Bytes of a student on one rank, all float32; activations and what lives for a part of a step only are not in it.
public struct StudentMemory: Sendable, Equatable {
  /// The weights that are kept between steps.
  public var weights: Int
  /// The gradients that are kept over the passes of a step; those of embedding tables have room for touched rows only
  /// and do not count.
  public var gradients: Int
  /// First and second moments; those of rows that no step has touched take no memory, and count all the same.
  public var moments: Int

  /// weights + gradients + moments.
  public var total: Int { weights + gradients + moments }

  /// What N ranks keep of Ψ weights: 16Ψ, 8Ψ + 8Ψ/N, 4Ψ + 12Ψ/N or 16Ψ/N bytes; of T weights in tables that are read by
  /// row 4T + 8T/N, or 12T/N where weights are shared out.
  ///
  /// Blocks are rounded up to cache lines, which is not counted.
  /// - Parameters:
  ///   - dense: Ψ, the weights outside such tables.
  ///   - tables: T.
  public init(dense: Int, tables: Int, sharding: StudentSharding, ranks: Int) {
    func share(_ count: Int, _ isShared: Bool) -> Int { isShared ? (count + ranks - 1) / ranks : count }
    let sharesWeights = sharding == .parameters
    weights = 4 * (share(dense, sharesWeights) + share(tables, sharesWeights))
    gradients = 4 * share(dense, sharding.sharesGradients)
    moments = 8 * (share(dense, sharding != .none) + share(tables, true))
  }

  init(weights: Int, gradients: Int, moments: Int) {
    self.weights = weights
    self.gradients = gradients
    self.moments = moments
  }
}
