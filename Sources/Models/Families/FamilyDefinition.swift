import Autograd
import Datasets
import Platform
import Safetensors

/// What a family of models is: its names, and the model that its config.json describes. One file a family.
package protocol FamilyDefinition: Sendable {
  /// `model_type` of config.json.
  var name: String { get }
  /// The `transformers` class of such a model with the head that Retort trains.
  var architecture: String { get }
  /// Whether its models predict the next token unless config.json names another head.
  var isLanguageModel: Bool { get }
  /// The head of the family's models if config.json says nothing else.
  var usualHead: TaskDefinition.Head { get }
  /// The `transformers` class of a model of the family with a head.
  func architecture(with head: TaskDefinition.Head) -> String
  /// The heads that Retort builds on the family's body.
  var heads: Set<TaskDefinition.Head> { get }
  /// Other names for keys of config.json, which are read as these: {"hidden_size": "dim"}.
  var keyAliases: [String: String] { get }
  /// The text before the number of a layer in a checkpoint's names.
  var layerMarker: String { get }
  /// The names of a tensor that every checkpoint of the family has, the longest first; of a language model those of its
  /// token embeddings.
  var anchors: [String] { get }
  /// What the names of a pre-training head's tensors begin with, besides "cls.".
  var pretrainingPrefixes: [String] { get }
  /// What the names of tensors begin with that the model never reads: pre-training heads, a pooler beside the head.
  var unusedPrefixes: [String] { get }
  /// The head to which a checkpoint's tensors belong.
  func head(ofTensorsIn source: any WeightSource) -> CheckpointHead
  /// The keys of config.json that list a value for each layer, written out where the layers differ; a model of some of
  /// the layers keeps their values. Throws `.input` naming file and key.
  func layerLists(_ configuration: ModelConfiguration) throws -> [String: [JSON]]
  /// Reads and checks the keys; throws `.input` naming file and key.
  func sizes(_ configuration: ModelConfiguration) throws -> any ModelSizes
}

extension FamilyDefinition {
  /// None.
  package var keyAliases: [String: String] { [:] }
  /// None.
  package var pretrainingPrefixes: [String] { [] }
  /// None.
  package func layerLists(_ configuration: ModelConfiguration) throws -> [String: [JSON]] { [:] }
  /// Pre-training heads.
  package var unusedPrefixes: [String] { pretrainingPrefixes }
}

/// The sizes of one model, from its config.json.
package protocol ModelSizes {
  /// The number of layers; nil for a model without layers that repeat.
  var depth: Int? { get }
  /// The number of texts of an example that the model tells apart; nil if it ignores or lacks them.
  var textTypes: Int? { get }
  /// The longest sequence for which the model has positions; nil without a limit.
  var contextLength: Int? { get }
  /// The number of token embeddings; nil if the model reads no tokens.
  var vocabulary: Int? { get }
  /// The sizes in a few words, such as "L4 H256".
  var text: String { get }
  /// The names, the usual one first, and shapes of tensors that show the sizes.
  var probes: [(names: [String], shape: [Int])] { get }
  /// The name of the matrix that gives the outputs, [classes, hidden], in a checkpoint; nil for a head over the
  /// vocabulary.
  var classifierName: String? { get }
  /// Whether the head is the token embeddings.
  var isTied: Bool { get }
  /// What the names of further tensors begin with that a model with this head never reads.
  var unreadPrefixes: [String] { get }
  /// A model of these sizes, or a part of one, with weights of zero.
  ///
  /// - Parameter source: the file of the sizes, for messages.
  /// Throws `.configuration` if the sizes do not allow the part.
  func build(part: ModelPart, source: String) throws -> any Model
}

extension ModelSizes {
  /// False: the head has its own weights.
  package var isTied: Bool { false }
  /// None.
  package var unreadPrefixes: [String] { [] }
}
