import Autograd

/// Notes what a tape says of gradients.
package final class GradientLog: TapeObserver {
  /// False: all weights stay in memory.
  package let releasesWeights = false
  /// The names of weights in the order in which operations add to their gradients.
  package private(set) var needed: [String] = []
  /// The names of weights in the order in which their gradients are complete.
  package private(set) var ready: [String] = []
  /// The operations of the backward pass.
  package private(set) var operations = 0

  /// An empty log.
  package init() {}

  package func enter(_ block: Int, _ direction: PassDirection) {}
  package func leave(_ block: Int, _ direction: PassDirection) {}
  package func gradientNeeded(_ parameter: Parameter) { needed.append(parameter.name) }
  package func gradientReady(_ parameter: Parameter) { ready.append(parameter.name) }
  package func afterOperation() { operations += 1 }
}
