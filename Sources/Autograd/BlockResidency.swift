/// The direction in which a pass goes through the blocks of a model.
public enum PassDirection: Sendable {
  case forward, backward
}

/// Holds the weights of a model's blocks in memory only while a pass is inside them.
///
/// Blocks are numbered as in `Model.blocks`. A pass is in one block at a time; it visits them in ascending order
/// forward and, on a tape that records, in descending order backward. It may enter the same block twice in a row.
public protocol BlockResidency: AnyObject {
  /// Makes the values of the block's parameters readable before it returns.
  ///
  /// It can also request the next block, which then arrives while this one computes. A forward pass does not throw, so
  /// after an error the values are unset, and the conforming type reports the error to the caller of the pass.
  func enter(_ block: Int, _ direction: PassDirection)
  /// The weights of the block are not read until the pass enters it again.
  func leave(_ block: Int, _ direction: PassDirection)
}
