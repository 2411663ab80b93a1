import Autograd
import Datasets
import Layers

/// A staged model whose last product is by its own: what it reads can be sent instead of what it gives.
///
///     logits = headLogits(headStates(x)) = states · Wᵀ + b
///
/// The states have a row for each row of the teacher's answer: an example of a classifier, a predicted token of a
/// language model.
public protocol HeadedModel: StagedModel {
  /// Whether the states between two layers are bf16 in a pass of that precision.
  var roundsStates: Bool { get }
  /// What the head reads, [R, hidden], of the states behind the last layer.
  func headStates(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable
  /// The logits of the classes `headRows`, [R, their number], float32.
  func headLogits(_ states: Variable, _ context: ForwardContext) -> Variable
  /// W [classes, hidden], and b where the family has one.
  var headWeights: (matrix: Parameter, bias: Parameter?) { get }
  /// The classes that this part's head has: all of them, or a slice's share.
  var headRows: Range<Int> { get }
}
