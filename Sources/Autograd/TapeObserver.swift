/// The direction in which a pass goes through the blocks of a model.
package enum PassDirection: Sendable {
  case forward, backward
}

/// Follows a pass: the boundaries of the model's blocks and, in the backward pass, the gradients of weights.
///
/// Blocks are numbered as in `Model.blocks`. A pass is in one block at a time; it visits them in ascending order
/// forward and, on a tape that records, in descending order backward. It may enter the same block twice in a row.
package protocol TapeObserver: AnyObject {
  /// Whether the values of a block's parameters are in memory only while the pass is in the block.
  var releasesWeights: Bool { get }
  /// Makes the values of the block's parameters readable before it returns.
  ///
  /// It can also request the next block, which then arrives while this one computes. A forward pass does not throw, so
  /// after an error the values are unset, and the conforming type reports the error to the caller of the pass.
  func enter(_ block: Int, _ direction: PassDirection)
  /// The weights of the block are not read until the pass enters it again.
  func leave(_ block: Int, _ direction: PassDirection)
  /// An operation is about to add to the gradient of a trained weight, which may have no memory yet.
  func gradientNeeded(_ parameter: Parameter)
  /// The gradient of a trained weight is complete for this pass; an error ends the backward pass.
  func gradientReady(_ parameter: Parameter) throws
  /// The backward pass has finished an operation, so communication can make progress; an error ends the pass.
  func afterOperation() throws
}

/// For an observer of blocks alone, as in inference, where there are no gradients.
extension TapeObserver {
  /// Does nothing: gradients have memory already, or there are none.
  package func gradientNeeded(_ parameter: Parameter) {}
  /// Does nothing: gradients stay where they are.
  package func gradientReady(_ parameter: Parameter) throws {}
  /// Does nothing: no communication is in flight.
  package func afterOperation() throws {}
}
