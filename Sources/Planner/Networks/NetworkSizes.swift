import Autograd
import Models

/// A model described for a plan: shapes and arithmetic without weights in memory.
package protocol NetworkSizes: Sendable {
  /// Family and sizes in words, such as "llama L80 H8192".
  var name: String { get }
  /// Every trained tensor in the order of the forward pass.
  var tensors: [WeightTensor] { get }
  /// L, the layers between the embeddings (block 0) and the head (block L + 1).
  var layerCount: Int { get }
  /// h: elements of a token's state.
  var hiddenSize: Int { get }
  /// Attention heads, which a tensor-parallel shard cannot divide.
  var headCount: Int { get }
  /// C: columns of the logits.
  var classCount: Int { get }
  /// Whether the head is over the vocabulary.
  var isLanguageModel: Bool { get }
  /// Whether each token has outputs, rather than each sequence.
  var hasRowsOfTokens: Bool { get }
  /// Tokens of the longest sequence; nil without a limit.
  var maximumPositions: Int? { get }
  /// The sizes that objectives inside the models compare; nil of a model without layers.
  var shape: ModelShape? { get }
  /// Operations of the products of a forward pass, as `Model.forwardFLOPs` of the family counts them.
  func forwardFLOPs(_ load: TokenLoad) -> Double
  /// Whether a tensor-parallel shard has a share of the head too.
  var hasDividedHead: Bool { get }
  /// Elements that the tensor-parallel shards of a teacher sum in a forward pass: two sums of states per layer, and the
  /// token embeddings, since each shard has the rows of its tokens.
  func summedElements(_ load: TokenLoad) -> Int
  /// Whether the head shares the token embeddings.
  var isTied: Bool { get }
  /// Whether states are in the format of the pass; otherwise they are always f32.
  var roundsStates: Bool { get }
  /// Operations of the head, a part of `forwardFLOPs`.
  func headFLOPs(rows: Int) -> Double
  /// Bytes per token that a layer keeps for its backward pass.
  func keptBytes(_ format: PlannedFormat) -> Int
  /// Bytes per token that the last layer keeps.
  func lastKeptBytes(_ format: PlannedFormat) -> Int
  /// Temporary bytes per token of a layer's backward pass.
  func backwardBytes(_ format: PlannedFormat) -> Int
  /// Temporary bytes per token of a layer in inference.
  func inferenceBytes(_ format: PlannedFormat) -> Int
}

/// A trained tensor: its shape, its block, and how it is used.
package struct WeightTensor: Sendable, Equatable {
  /// [rows, columns]; a vector has one column.
  package let rows: Int
  /// Elements of a row.
  package let columns: Int
  /// 0: embeddings; 1 … L: layers; L + 1: head.
  package let block: Int
  /// Whether it is a lookup table: an optimizer step exchanges only its touched rows.
  package let isLookup: Bool
  /// Whether products read it, which needs a rounded copy in a bf16 pass.
  package let isFactor: Bool

  /// Makes a tensor; see the properties.
  package init(_ rows: Int, _ columns: Int = 1, block: Int, isLookup: Bool = false, isFactor: Bool = false) {
    self.rows = rows
    self.columns = columns
    self.block = block
    self.isLookup = isLookup
    self.isFactor = isFactor
  }

  /// The number of elements.
  package var count: Int { rows * columns }
  /// Whether a bf16 pass uses a rounded copy: products with fewer than 16 inputs or outputs stay in f32.
  package var isRounded: Bool { isFactor && min(rows, columns) >= 16 }
}

extension [WeightTensor] {
  /// The weights of a model, block by block.
  ///
  /// - Parameters:
  ///   - model: the model, with one layer if all layers are alike.
  ///   - layers: how many such layers there are; nil for the model's own.
  init(of model: any Model, layers: Int? = nil) {
    let blocks = model.blocks
    precondition(
      blocks.count == 3 || layers == nil, "a model of \(blocks.count - 2) layers describes those of another one")
    let last = blocks[blocks.count - 1]
    let lookups = Set(model.lookups.map { ObjectIdentifier($0.parameter) })
    let head = Set(last.map(ObjectIdentifier.init))
    let table = Set(blocks[0].map(ObjectIdentifier.init))
    func tensors(_ block: [Parameter], _ number: Int) -> [WeightTensor] {
      block.map { parameter in
        let (shape, id) = (parameter.shape.array, ObjectIdentifier(parameter))
        // Products read a table that is the head too.
        return WeightTensor(
          shape[0], shape.count == 1 ? 1 : parameter.count / Swift.max(1, shape[0]), block: number,
          isLookup: lookups.contains(id), isFactor: parameter.isFactor || number == 0 && head.contains(id))
      }
    }
    // A weight that several layers share counts in the first of them.
    var seen: Set<ObjectIdentifier> = []
    let unique = blocks.dropFirst().dropLast().map { $0.filter { seen.insert(ObjectIdentifier($0)).inserted } }
    let own = layers.map { Array<[Parameter]>(repeating: blocks[1], count: $0) } ?? unique
    self =
      tensors(blocks[0], 0) + own.enumerated().flatMap { tensors($1, $0 + 1) }
      + tensors(last.filter { !table.contains(ObjectIdentifier($0)) }, own.count + 1)
  }
}

/// The number format of a pass.
package enum PlannedFormat: String, Sendable, CaseIterable {
  case fp32, bf16

  /// Bytes of an activation element.
  package var bytes: Int { self == .fp32 ? 4 : 2 }
}

/// Sequences of one length, the model of a batch in a plan without data.
package struct TokenLoad: Sendable, Equatable {
  /// The number of sequences.
  package let sequences: Int
  /// S: tokens of each sequence.
  package let length: Int

  /// Makes a load of `sequences` with `length` tokens each.
  package init(sequences: Int, length: Int) {
    self.sequences = sequences
    self.length = length
  }

  /// T: all tokens.
  package var tokens: Int { sequences * length }
}

extension NetworkSizes {
  /// Those of a language model.
  package var hasRowsOfTokens: Bool { isLanguageModel }

  /// The same as for any other layer.
  package func lastKeptBytes(_ format: PlannedFormat) -> Int { keptBytes(format) }

  /// Ψ: trained weights.
  package var parameterCount: Int { tensors.reduce(0) { $0 + $1.count } }
  /// Weights of lookup tables.
  package var lookupCount: Int { tensors.reduce(0) { $0 + ($1.isLookup ? $1.count : 0) } }
  /// The sum of the row lengths of all lookup tables.
  package var lookupColumns: Int { tensors.reduce(0) { $0 + ($1.isLookup ? $1.columns : 0) } }
  /// The rows of the largest lookup table.
  package var lookupRows: Int { tensors.reduce(0) { max($0, $1.isLookup ? $1.rows : 0) } }
  /// Weights with a rounded copy in a bf16 pass.
  package var roundedCount: Int { tensors.reduce(0) { $0 + ($1.isRounded ? $1.count : 0) } }

  /// Bytes of the weights in inference: factors in the format of the pass, everything else in f32.
  package func frozenBytes(_ format: PlannedFormat) -> Int {
    tensors.reduce(0) { $0 + frozenBytes(of: $1, format) }
  }

  /// Bytes of each block in inference.
  package func frozenBlocks(_ format: PlannedFormat) -> [Int] {
    var bytes = [Int](repeating: 0, count: layerCount + 2)
    for tensor in tensors { bytes[tensor.block] += frozenBytes(of: tensor, format) }
    return bytes
  }

  func frozenBytes(of tensor: WeightTensor, _ format: PlannedFormat) -> Int {
    tensor.count * (tensor.isRounded ? format.bytes : 4)
  }

  /// Rows of logits of a load: one per token for a language model, one per sequence for a classifier.
  package func rows(_ load: TokenLoad) -> Int { hasRowsOfTokens ? load.tokens : load.sequences }
}
