/// Which way a pass goes through the blocks of a model.
public enum PassDirection: Sendable {
  case forward, backward
}

/// Somebody who has the weights of a model's blocks in memory only while a pass is inside them.
///
/// Blocks are numbered as `Model.blocks` has them. A pass is in one block at a time; it goes through them in ascending
/// order forward and, on a tape that records, in descending order backward. It may enter the same block twice in a row.
public protocol BlockResidency: AnyObject {
  /// The weights of the block are there when this returns: the values of its parameters can be read.
  ///
  /// The time to ask for the next block, which comes while this one computes. What goes wrong is kept by whoever
  /// conforms and told to whoever runs the pass, since a forward pass does not throw; the values are unset then.
  func enter(_ block: Int, _ direction: PassDirection)
  /// Nothing reads the weights of the block any more, until the pass enters it again.
  func leave(_ block: Int, _ direction: PassDirection)
}
