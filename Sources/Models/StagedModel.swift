import Autograd
import Datasets
import Layers

/// A model whose forward pass can stop at the border of a layer and go on in another part of the model, on another
/// rank, from the states alone.
///
///     whole       finish(advance(embed(batch)))
///     2 stages    advance(embed(batch)) │ states [T, hidden] travel │ finish(advance(states))
///
/// Every part has all members of the protocol; it may only be asked for what its `part` has.
public protocol StagedModel: Model {
  /// Which layers, and which slice of each, the weights are of.
  var part: ModelPart { get }
  /// Layers of the whole model.
  var layerCount: Int { get }
  /// Elements of a token's state, as it travels from stage to stage.
  var hiddenSize: Int { get }
  /// The states that enter layer 0, [T, hidden]: for a part with `hasEmbeddings`.
  func embed(_ batch: Batch, _ context: ForwardContext) -> Variable
  /// The states behind the layers that the part has, of those before them.
  ///
  /// - Parameter x: [T, hidden], in the format that `embed` or another stage's `advance` has given.
  /// - Returns: [T, hidden] in the same format; of the last stage, what its own `finish` reads.
  func advance(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable
  /// What stands behind the layers, for a part with `hasHead`: the states behind the last norm, [T, hidden], of a
  /// `LanguageModel`, whose head comes after; the logits, [B, classes], of a classifier.
  func finish(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable
  /// What the head reads of the states behind the layers, [R, hidden]: a row for each example of a classifier, for each
  /// predicted token of a language model. It can be sent instead of the logits.
  func headStates(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable
  /// The logits of the classes `headRows`, [R, their number], float32: states · Wᵀ + b.
  func headLogits(_ states: Variable, _ context: ForwardContext) -> Variable
  /// W [classes, hidden], and b where the family has one.
  var headWeights: (matrix: Parameter, bias: Parameter?) { get }
  /// The classes whose logits the head gives: all of them, or a slice's share.
  var headRows: Range<Int> { get }
  /// Whether the states between two layers are bf16 in a pass of that precision.
  var roundsStates: Bool { get }
  /// The sizes of the whole model.
  var shape: ModelShape { get }
  /// The block, as `Model.blocks` counts them, in which the value at a point is made and shown to observers.
  func block(of point: PassPoint) -> Int
}

extension StagedModel {
  /// States are made by their layer's block, those of the embeddings by block 0, the pooled output behind the layers.
  public func block(of point: PassPoint) -> Int {
    switch point {
    case .states(let layer), .projections(let layer): layer
    case .pooled: blocks.count - 1
    }
  }
}
