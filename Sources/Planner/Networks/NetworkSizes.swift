/// A model as a plan sees it: shapes and arithmetic, no weight in memory, so that 70 billion cost nothing.
public protocol NetworkSizes: Sendable {
  /// Family and sizes in words, such as "llama L80 H8192".
  var name: String { get }
  /// Every trained tensor in the order of the forward pass.
  var tensors: [WeightTensor] { get }
  /// L, the layers between the embeddings (block 0) and what stands behind them (block L + 1).
  var layerCount: Int { get }
  /// h: elements of a token's state.
  var hiddenSize: Int { get }
  /// Attention heads, which a tensor-parallel slice cannot cut.
  var headCount: Int { get }
  /// C: columns of the logits.
  var classCount: Int { get }
  /// Whether each token has logits; otherwise each sequence has.
  var isLanguageModel: Bool { get }
  /// Tokens of the longest sequence; nil: no limit.
  var maximumPositions: Int? { get }
  /// Operations of the products of a forward pass, as `Model.forwardFLOPs` of the family counts them.
  func forwardFLOPs(_ load: TokenLoad) -> Double
  /// Whether a tensor-parallel slice has a share of the head, too.
  var hasDividedHead: Bool { get }
  /// Elements that the slices of a tensor-parallel teacher add up in a forward pass: two sums of states a layer, and
  /// those of the words, of which each slice has the rows of its tokens.
  func summedElements(_ load: TokenLoad) -> Int
  /// Whether the head reads the embedding table.
  var isTied: Bool { get }
  /// Whether a state travels in the format of the pass; otherwise it is f32 always.
  var roundsStates: Bool { get }
  /// Operations of what turns states into logits, a part of `forwardFLOPs`.
  func headFLOPs(rows: Int) -> Double
  /// Bytes a token that a layer keeps for its backward pass.
  func keptBytes(_ format: PlannedFormat) -> Int
  /// Bytes a token that the last layer keeps.
  func lastKeptBytes(_ format: PlannedFormat) -> Int
  /// Bytes a token that a layer's backward pass has in use besides.
  func backwardBytes(_ format: PlannedFormat) -> Int
  /// Bytes a token that a layer has in use in inference.
  func inferenceBytes(_ format: PlannedFormat) -> Int
}

/// A trained tensor: its shape, its block, and how it is used.
public struct WeightTensor: Sendable, Equatable {
  /// [rows, columns]; a vector has one column.
  public let rows: Int
  /// Elements of a row.
  public let columns: Int
  /// 0: embeddings; 1 … L: layers; L + 1: behind them.
  public let block: Int
  /// Whether it is read by row alone, so that a step moves touched rows only.
  public let isLookup: Bool
  /// Whether products read it, which in a bf16 pass takes a rounded copy.
  public let isFactor: Bool

  /// A tensor of one use; see the properties.
  public init(_ rows: Int, _ columns: Int = 1, block: Int, isLookup: Bool = false, isFactor: Bool = false) {
    self.rows = rows
    self.columns = columns
    self.block = block
    self.isLookup = isLookup
    self.isFactor = isFactor
  }

  /// Its elements.
  public var count: Int { rows * columns }
  /// Whether a bf16 pass has a rounded copy: products of less than 16 inputs or outputs stay in f32.
  public var isRounded: Bool { isFactor && min(rows, columns) >= 16 }
}

/// The number format of a pass.
public enum PlannedFormat: String, Sendable, CaseIterable {
  case fp32, bf16

  /// Bytes of an element that travels between operations.
  public var bytes: Int { self == .fp32 ? 4 : 2 }
}

/// Sequences of one length, which is how a plan without data sees a batch.
public struct TokenLoad: Sendable, Equatable {
  /// Sequences.
  public let sequences: Int
  /// S: tokens of each.
  public let length: Int

  /// `sequences` of `length` tokens each.
  public init(sequences: Int, length: Int) {
    self.sequences = sequences
    self.length = length
  }

  /// T: all tokens.
  public var tokens: Int { sequences * length }
}

extension NetworkSizes {
  /// As any other layer.
  public func lastKeptBytes(_ format: PlannedFormat) -> Int { keptBytes(format) }

  /// Ψ: trained weights.
  public var parameterCount: Int { tensors.reduce(0) { $0 + $1.count } }
  /// Weights of tables that are read by row alone.
  public var lookupCount: Int { tensors.reduce(0) { $0 + ($1.isLookup ? $1.count : 0) } }
  /// Elements of a row of all those tables together.
  public var lookupColumns: Int { tensors.reduce(0) { $0 + ($1.isLookup ? $1.columns : 0) } }
  /// The most rows that such a table has.
  public var lookupRows: Int { tensors.reduce(0) { max($0, $1.isLookup ? $1.rows : 0) } }
  /// Weights that a bf16 pass has a rounded copy of.
  public var roundedCount: Int { tensors.reduce(0) { $0 + ($1.isRounded ? $1.count : 0) } }

  /// Weights of each block, tables that are read by row left out.
  public var denseBlocks: [Int] {
    var counts = [Int](repeating: 0, count: layerCount + 2)
    for tensor in tensors where !tensor.isLookup { counts[tensor.block] += tensor.count }
    return counts
  }

  /// Bytes of the weights as inference holds them: factors in the format of the pass, everything else in f32.
  public func frozenBytes(_ format: PlannedFormat) -> Int {
    tensors.reduce(0) { $0 + frozenBytes(of: $1, format) }
  }

  /// Bytes of each block as inference holds it.
  public func frozenBlocks(_ format: PlannedFormat) -> [Int] {
    var bytes = [Int](repeating: 0, count: layerCount + 2)
    for tensor in tensors { bytes[tensor.block] += frozenBytes(of: tensor, format) }
    return bytes
  }

  func frozenBytes(of tensor: WeightTensor, _ format: PlannedFormat) -> Int {
    tensor.count * (tensor.isRounded ? format.bytes : 4)
  }

  /// Rows of logits of a load: one for each token of a language model, one for each sequence of a classifier.
  public func rows(_ load: TokenLoad) -> Int { isLanguageModel ? load.tokens : load.sequences }
}
