import Autograd
import Datasets
import Layers

/// A model whose forward pass can stop at a layer boundary and continue from the states in another part of the model,
/// on another rank.
///
///     whole       finish(advance(embed(batch)))
///     2 stages    advance(embed(batch)) │ states [T, hidden] are sent │ finish(advance(states))
///
/// Every part has all members of the protocol; callers use only those that its `part` allows.
package protocol StagedModel: Model {
  /// The pipeline stage and tensor-parallel shard of the weights.
  var part: ModelPart { get }
  /// The number of layers of the whole model.
  var layerCount: Int { get }
  /// The elements of a token's state between stages.
  var hiddenSize: Int { get }
  /// The states that enter layer 0, [T, hidden]: for a part with `hasEmbeddings`.
  func embed(_ batch: Batch, _ context: ForwardContext) -> Variable
  /// The states after the part's layers, from the states before them.
  ///
  /// - Parameter x: [T, hidden], in the format of `embed` or of another stage's `advance`.
  /// - Returns: [T, hidden] in the same format; from the last stage, the input of its own `finish`.
  func advance(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable
  /// The part after the layers, for a part with `hasHead`: for a `LanguageModel` the states after the last norm, [T,
  /// hidden], which its head reads; for a classifier the logits, [B, classes].
  func finish(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable
  /// The input of the head from the states after the layers, [R, hidden]: a row per example of a classifier, per
  /// predicted token of a language model. It can be sent instead of the logits.
  func headStates(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable
  /// The logits of the classes `headRows`, [R, headRows.count], float32: states · Wᵀ + b.
  func headLogits(_ states: Variable, _ context: ForwardContext) -> Variable
  /// W [classes, hidden], and b if the family has one.
  var headWeights: (matrix: Parameter, bias: Parameter?) { get }
  /// The classes whose logits the head computes: all of them, or the share of a tensor-parallel shard.
  var headRows: Range<Int> { get }
  /// Whether the states between two layers are bf16 in a pass of that precision.
  var roundsStates: Bool { get }
  /// The sizes of the whole model.
  var shape: ModelShape { get }
  /// The block, numbered as in `Model.blocks`, that computes the value at a point and reports it to observers.
  func block(of point: PassPoint) -> Int
}

extension StagedModel {
  /// A layer's block computes its states, block 0 those of the embeddings, the last block the pooled output.
  package func block(of point: PassPoint) -> Int {
    switch point {
    case .states(let layer), .projections(let layer): layer
    case .pooled: blocks.count - 1
    }
  }
}
