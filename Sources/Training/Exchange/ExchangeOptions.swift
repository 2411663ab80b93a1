/// How the ranks exchange a student's gradients and weights; nothing of it changes what one node trains.
package struct ExchangeOptions: Sendable, Equatable {
  /// The most ranks of a node that share memory; nil for all of them. With 1, all ranks exchange messages.
  package var nodeRanks: Int?

  /// Makes the options; the defaults are those of a chain file without the key.
  package init(nodeRanks: Int? = nil) { self.nodeRanks = nodeRanks }
}
