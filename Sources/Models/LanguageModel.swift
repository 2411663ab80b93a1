import Autograd
import Datasets
import Layers

/// A causal model of tokens: after each token of a sequence it has logits for the next one.
///
/// `Model.forward` makes all logits, [T, V]; whoever needs a loss only takes states and head, and never holds more than
/// a part of [T, V]. `classCount` is V.
public protocol LanguageModel: StagedModel {
  /// The states behind the last norm, [T, hidden].
  func states(_ batch: Batch, _ context: ForwardContext) -> Variable
  /// The matrix that turns states into logits, [V, hidden]; the embedding table itself where the two are tied.
  ///
  /// A slice of a model has the rows `headRows` of it; a part without `hasHead` has none.
  var head: Parameter { get }
  /// The tokens whose logits `head` gives: 0 ..< V, or a slice's share of them.
  var headRows: Range<Int> { get }
}

extension LanguageModel {
  public func states(_ batch: Batch, _ context: ForwardContext) -> Variable {
    finish(advance(embed(batch, context), batch, context), batch, context)
  }
}
