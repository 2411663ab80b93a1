import Autograd
import Datasets
import Layers

/// A causal model of tokens: after each token of a sequence it has logits for the next one.
///
/// `Model.forward` makes all logits, [T, V]; whoever needs a loss only takes states and head, and never holds more than
/// a part of [T, V]. `classCount` is V.
public protocol LanguageModel: Model {
  /// The states behind the last norm, [T, hidden].
  func states(_ batch: Batch, _ context: ForwardContext) -> Variable
  /// The matrix that turns states into logits, [V, hidden]; the embedding table itself where the two are tied.
  var head: Parameter { get }
}
