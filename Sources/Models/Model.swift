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
  /// Fills a weight with the family's initial distribution, a pure function of the seed and the weight's name.
  func initialize(_ parameter: Parameter, seed: UInt64)
  /// The logits of a batch and what the context wants captured.
  func forward(_ batch: Batch, _ context: ForwardContext) -> ModelOutput
  /// Floating point operations of the matrix products, those of attention included, of a forward pass over examples of
  /// these lengths: 2·m·n·k for each product [m, k]·[k, n].
  ///
  /// What is not a product (norms, softmax, lookups) does not count, nor does padding, nor what the family's definition
  /// has and its model knows how to leave out. A backward pass has twice as much.
  func forwardFLOPs(lengths: [Int]) -> Double
}

extension Model {
  /// None.
  public var lookups: [LookupTable] { [] }

  /// The number of weights that training changes.
  public var parameterCount: Int { parameters.reduce(0) { $0 + $1.count } }

  /// The logits of a batch in inference, [B, classes].
  ///
  /// - Parameters:
  ///   - weights: copies that outlive the pass, see `Tape`.
  ///   - independentRows: gives an example the same bits in every batch.
  public func logits(
    _ batch: Batch, precision: Precision = .fp32, weights: BF16Weights = BF16Weights(), independentRows: Bool = false
  ) -> Tensor {
    let context = ForwardContext.inference(precision: precision, weights: weights, independentRows: independentRows)
    return forward(batch, context).logits.value
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

/// One tensor of a checkpoint file: its name there and the part of a parameter (or of a fixed buffer) that holds it.
public struct WeightBinding {
  /// The name as `transformers` writes it.
  public let name: String
  /// Other names under which older files have it, tried in order.
  public let aliases: [String]
  /// The values in the model; shares the parameter's memory.
  public var tensor: Tensor { parameter.map { part($0.value) } ?? buffer! }
  /// The gradient of the same part, once the parameter is trained.
  public var gradient: Tensor? { parameter?.gradient.map(part) }
  /// Whether a checkpoint may lack it; it is then initialised, and the user is told.
  public let isHead: Bool

  /// The parameter that it is a part of; nil for a buffer.
  let parameter: Parameter?
  private let buffer: Tensor?
  private let rows: Range<Int>?

  /// The whole of a parameter, or some of its rows.
  init(_ name: String, _ parameter: Parameter, rows: Range<Int>? = nil, aliases: [String] = [], isHead: Bool = false) {
    self.name = name
    self.aliases = aliases
    self.parameter = parameter
    buffer = nil
    self.rows = rows
    self.isHead = isHead
  }

  /// A buffer that is stored with the model and is not trained.
  init(_ name: String, buffer: Tensor) {
    self.name = name
    aliases = []
    parameter = nil
    self.buffer = buffer
    rows = nil
    isHead = false
  }

  private func part(_ tensor: Tensor) -> Tensor { rows.map { tensor.rows($0) } ?? tensor }

  /// The shape that the tensor has in the file.
  public var shape: Shape { tensor.shape }
}
