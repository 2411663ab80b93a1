import Autograd

/// Notes what a tape says of gradients.
public final class GradientLog: TapeObserver {
  /// False: all weights stay in memory.
  public let releasesWeights = false
  /// The names of weights in the order in which operations add to their gradients.
  public private(set) var needed: [String] = []
  /// The names of weights in the order in which their gradients are complete.
  public private(set) var ready: [String] = []
  /// The operations of the backward pass.
  public private(set) var operations = 0

  /// An empty log.
  public init() {}

  public func enter(_ block: Int, _ direction: PassDirection) {}
  public func leave(_ block: Int, _ direction: PassDirection) {}
  public func gradientNeeded(_ parameter: Parameter) { needed.append(parameter.name) }
  public func gradientReady(_ parameter: Parameter) { ready.append(parameter.name) }
  public func afterOperation() { operations += 1 }
}
