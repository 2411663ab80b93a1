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
  /// Room for the keys and values of one sequence, for each layer that is here; it grows beyond the capacity.
  func newMemory(capacity: Int) -> [KeyValueMemory]
  /// The states of the tokens of one sequence that follow those in memory, [T, hidden]; they are in it afterwards.
  func states(of tokens: [Int32], after memory: [KeyValueMemory], _ context: ForwardContext) -> Variable
}

extension LanguageModel {
  public func states(_ batch: Batch, _ context: ForwardContext) -> Variable {
    finish(advance(embed(batch, context), batch, context), batch, context)
  }

  /// The states behind the last norm of the tokens that predict one.
  public func headStates(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    context.tape.selectRows(finish(x, batch, context), batch.predictedRows)
  }

  /// states · headᵀ.
  public func headLogits(_ states: Variable, _ context: ForwardContext) -> Variable {
    context.tape.linear(states, weight: head, bias: nil, wide: true)
  }

  public var headWeights: (matrix: Parameter, bias: Parameter?) { (head, nil) }

  /// No: their roundings would add up over the layers.
  public var roundsStates: Bool { false }
}
