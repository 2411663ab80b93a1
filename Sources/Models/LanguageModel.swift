import Autograd
import Datasets
import Layers

/// A causal model of tokens: after each token of a sequence it has logits for the next one.
///
/// `Model.forward` computes all logits, [T, V]. A loss uses states and head instead, and holds only a part of [T, V] at
/// a time. `classCount` is V.
package protocol LanguageModel: StagedModel {
  /// The states after the last norm, [T, hidden].
  func states(_ batch: Batch, _ context: ForwardContext) -> Variable
  /// The matrix that maps states to logits, [V, hidden]; the token embeddings themselves if the two are tied.
  ///
  /// A tensor-parallel shard has its rows `headRows`; a part without `hasHead` has none.
  var head: Parameter { get }
  /// The tokens whose logits `head` computes: 0 ..< V, or the share of a tensor-parallel shard.
  var headRows: Range<Int> { get }
  /// An empty KV cache of one sequence for each layer of this part; it grows beyond the capacity.
  func newCaches(capacity: Int) -> [KVCache]
  /// The states of the tokens that follow those in the KV cache of one sequence, [T, hidden]; appends their keys and
  /// values to it.
  func states(of tokens: [Int32], after cache: [KVCache], _ context: ForwardContext) -> Variable
}

extension LanguageModel {
  package func states(_ batch: Batch, _ context: ForwardContext) -> Variable {
    finish(advance(embed(batch, context), batch, context), batch, context)
  }

  /// The states after the last norm of the tokens that predict a token.
  package func headStates(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    context.tape.selectRows(finish(x, batch, context), batch.countedTokens)
  }

  /// states · headᵀ.
  package func headLogits(_ states: Variable, _ context: ForwardContext) -> Variable {
    context.tape.linear(states, weight: head, bias: nil, wide: true)
  }

  package var headWeights: (matrix: Parameter, bias: Parameter?) { (head, nil) }

  /// False, since rounding errors would accumulate over the layers.
  package var roundsStates: Bool { false }
}
