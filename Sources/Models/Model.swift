import Autograd
import Datasets
import Layers
import Tensors

/// A network with weights, on one device; it knows no ranks, files or optimizers.
package protocol Model: AnyObject {
  /// Every weight, in the order in which the forward pass uses it.
  var parameters: [Parameter] { get }
  /// The location of each tensor of a Hugging Face checkpoint in the parameters.
  var weightTable: [WeightBinding] { get }
  /// The tables that a forward pass reads only by row, so most of their gradient is zero.
  var lookups: [LookupTable] { get }
  /// The weights by blocks, in the order of the forward pass: embeddings, each layer, the head. A tied weight is in
  /// each block that reads it.
  var blocks: [[Parameter]] { get }
  /// The number of classes of the logits.
  var classCount: Int { get }
  /// The limits of the numbers of a batch that index tables and rows; callers check a batch against them.
  var bounds: Batch.Bounds { get }
  /// Fills a weight with the family's initial distribution, a pure function of the seed and the weight's name.
  func initialize(_ parameter: Parameter, seed: UInt64)
  /// The logits of a batch, float32; the context's observer gets values from within the pass.
  func forward(_ batch: Batch, _ context: ForwardContext) -> Variable
  /// Floating point operations of the matrix products, attention included, of a forward pass over examples of these
  /// lengths: 2·m·n·k for each product [m, k]·[k, n].
  ///
  /// Operations other than products (norms, softmax, lookups), padding, and products that the model skips do not count.
  /// A backward pass has twice as many.
  func forwardFLOPs(lengths: [Int]) -> Double
}

extension Model {
  /// Limits the classes only.
  package var bounds: Batch.Bounds { Batch.Bounds(classes: classCount) }

  /// No tables.
  package var lookups: [LookupTable] { [] }

  /// The blocks that are layers: all but the embeddings and the head.
  package var layerBlocks: Range<Int> { 1..<max(1, blocks.count - 1) }

  /// The number of weights that training changes.
  package var parameterCount: Int { parameters.reduce(0) { $0 + $1.count } }

  /// The logits of a batch in inference, [B, classes].
  ///
  /// - Parameters:
  ///   - weights: copies that outlive the pass, see `Tape`.
  ///   - independentRows: gives an example the same bits in every batch.
  ///   - tapeObserver: loads the weights of blocks and releases them.
  package func logits(
    _ batch: Batch, precision: Precision = .fp32, weights: BF16Weights = BF16Weights(), independentRows: Bool = false,
    tapeObserver: (any TapeObserver)? = nil
  ) -> Tensor {
    let context = ForwardContext.inference(
      precision: precision, weights: weights, independentRows: independentRows, tapeObserver: tapeObserver)
    return forward(batch, context).value
  }

  /// Fills all weights with the family's initial distribution.
  package func initialize(seed: UInt64) { parameters.forEach { initialize($0, seed: seed) } }
}

/// A table that a model reads only by row.
package struct LookupTable {
  /// [V, C].
  package let parameter: Parameter
  /// The field of a batch with the rows that a pass reads, each any number of times.
  package let ids: KeyPath<Batch, [Int32]>
}
