import Autograd
import Collectives

/// How the ranks divide a student's weights, gradients and moments, and therefore what they send when.
///
/// A strategy follows the passes of a step as the observer of their tapes. The moments of a step, all collective in
/// the order of their calls:
///
///     begin                    no gradients yet
///     per pass   beginPass
///                  enter, leave                   the pass moves through the blocks, forward and back
///                  gradientNeeded                 an operation adds to a gradient
///                  gradientReady, afterOperation  a gradient is complete; messages make progress
///                endPass
///     finish                   the sums over ranks are where the optimizer reads them
///     distribute               after the update: every rank gets what it lacks
///
/// Between steps `beginReading` and `endReading` enclose a pass of an evaluation; `hold`, `holdAll` and `release` have
/// weights in memory for checkpoints.
protocol ExchangeStrategy: TapeObserver {
  /// What a rank keeps of the flat buffers.
  static var parts: KeptParts { get }

  init(_ work: ExchangeWork)

  /// Whether gradients are sent in every pass, so that all ranks need equally many passes and at least one.
  var sendsEveryPass: Bool { get }
  /// The most bytes that buckets took at one time besides what is kept.
  var peakTransientBytes: Int { get }

  /// Begins a step without gradients; the rows of lookup tables are on their way already.
  func begin()
  /// Begins a pass of this rank, with or without examples.
  ///
  /// - Parameter isLast: whether it is the last one of this rank's passes with examples.
  func beginPass(isLast: Bool)
  /// Ends a pass; throws the errors that it could not throw.
  func endPass() throws
  /// Sends what no gradient has completed (weights without a gradient, a rank without examples) and waits for all
  /// transfers: this rank's sums are in its part of the flat buffer and in its slots of the tables.
  ///
  /// - Returns: Σ gradient² of the elements of the flat buffer that this rank owns.
  func finish() throws -> Double
  /// Gives the ranks what they need of the weights that each has updated.
  func distribute() throws

  /// Begins a forward pass without gradients; all ranks have the same number of these passes.
  func beginReading()
  /// Ends it; throws the errors that it could not throw.
  func endReading() throws
  /// Has a weight of the flat buffer whole in memory, and no others; collective.
  func hold(_ parameter: Parameter) throws
  /// Has all weights of the flat buffer whole in memory; collective.
  func holdAll() throws
  /// Releases the weights that a rank does not keep.
  func release()
}

/// What a strategy works on.
struct ExchangeWork {
  let flat: FlatParameters
  let tables: [TableExchange]
  /// The model's blocks, which determine when sharded weights are gathered and released.
  let blocks: [[Parameter]]
  /// bf16 copies of the weights.
  let copies: BF16Weights
  let communicator: any Communicator
  let times: ExchangeTimes
}

/// A strategy with all weights in memory on every rank: no pass and no reader waits for them.
protocol WholeWeights: ExchangeStrategy {}

extension WholeWeights {
  var releasesWeights: Bool { false }
  func enter(_ block: Int, _ direction: PassDirection) {}
  func leave(_ block: Int, _ direction: PassDirection) {}
  func beginReading() {}
  func endReading() throws {}
  func hold(_ parameter: Parameter) throws {}
  func holdAll() throws {}
  func release() {}
}

/// A strategy that adds to whole gradients over all passes and sends them once a step (`WholeGradients`).
protocol WholeGradientStrategy: WholeWeights {
  var gradients: WholeGradients { get }
}

extension WholeGradientStrategy {
  var sendsEveryPass: Bool { false }
  var peakTransientBytes: Int { 0 }
  func begin() { gradients.begin() }
  func beginPass(isLast: Bool) { gradients.beginPass(isLast: isLast) }
  func gradientReady(_ parameter: Parameter) throws { try gradients.complete(parameter) }
  func afterOperation() throws { try gradients.poll() }
  func endPass() throws {}
}

extension StudentSharding {
  /// The strategy of this sharding.
  var strategy: any ExchangeStrategy.Type {
    switch self {
    case .none: ReplicatedStudent.self
    case .optimizer: ShardedOptimizer.self
    case .gradients: ShardedGradients.self
    case .parameters: ShardedParameters.self
    }
  }
}
