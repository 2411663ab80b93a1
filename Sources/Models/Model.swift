import Autograd
import Datasets
import Layers
import Tensors

/// A network with weights, on one device; it knows no ranks, files or optimizers.
public protocol Model: AnyObject {
  /// Every weight, in the order in which the forward pass meets it.
  var parameters: [Parameter] { get }
  /// Where each tensor of a Hugging Face checkpoint has its place in the parameters.
  var weightTable: [WeightBinding] { get }
  /// The tables that a forward pass reads by row and in no other way, so that most of their gradient is zero.
  var lookups: [LookupTable] { get }
  /// The weights by blocks, in the order of the forward pass: embeddings, each layer, what stands behind them. A tied
  /// weight is in each block that reads it.
  var blocks: [[Parameter]] { get }
  /// How many classes the logits have.
  var classCount: Int { get }
  /// What numbers of a batch index its tables and rows: whoever passes a batch on holds it against them.
  var bounds: Batch.Bounds { get }
  /// Fills a weight with the family's initial distribution, a pure function of the seed and the weight's name.
  func initialize(_ parameter: Parameter, seed: UInt64)
  /// The logits of a batch, float32; the context's observer reads values on the way.
  func forward(_ batch: Batch, _ context: ForwardContext) -> Variable
  /// Floating point operations of the matrix products, those of attention included, of a forward pass over examples of
  /// these lengths: 2·m·n·k for each product [m, k]·[k, n].
  ///
  /// What is not a product (norms, softmax, lookups) does not count, nor does padding, nor what the family's definition
  /// has and its model knows how to leave out. A backward pass has twice as much.
  func forwardFLOPs(lengths: [Int]) -> Double
}

extension Model {
  /// The classes.
  public var bounds: Batch.Bounds { Batch.Bounds(classes: classCount) }

  /// None.
  public var lookups: [LookupTable] { [] }

  /// The blocks that are layers: all but the embeddings and what stands behind the layers.
  public var layerBlocks: Range<Int> { 1..<max(1, blocks.count - 1) }

  /// The number of weights that training changes.
  public var parameterCount: Int { parameters.reduce(0) { $0 + $1.count } }

  /// The logits of a batch in inference, [B, classes].
  ///
  /// - Parameters:
  ///   - weights: copies that outlive the pass, see `Tape`.
  ///   - independentRows: gives an example the same bits in every batch.
  ///   - residency: brings the weights of blocks and lets them go.
  public func logits(
    _ batch: Batch, precision: Precision = .fp32, weights: BF16Weights = BF16Weights(), independentRows: Bool = false,
    residency: (any BlockResidency)? = nil
  ) -> Tensor {
    let context = ForwardContext.inference(
      precision: precision, weights: weights, independentRows: independentRows, residency: residency)
    return forward(batch, context).value
  }

  /// Fills all weights with the family's initial distribution.
  public func initialize(seed: UInt64) { parameters.forEach { initialize($0, seed: seed) } }
}

/// A table that a model reads by row only.
public struct LookupTable {
  /// [V, C].
  public let parameter: Parameter
  /// The part of a batch that says which rows are read: all of them, any number of times.
  public let ids: KeyPath<Batch, [Int32]>
}
