import Autograd
import Platform

/// What distinguishes one family of decoders from another; the defaults are Llama's.
package struct DecoderTraits: Sendable {
  /// The keys of config.json whose names differ between families.
  struct Keys: Sendable {
    var hidden = "hidden_size"
    var layers = "num_hidden_layers"
    var heads = "num_attention_heads"
    var intermediate = "intermediate_size"
    var positions = "max_position_embeddings"
    var epsilon = "rms_norm_eps"
    var activation = "hidden_act"

    /// The keys of all families in the same order.
    var all: [String] { [hidden, layers, heads, intermediate, positions, epsilon, activation] }
  }

  /// The keys of a family's dropout probabilities, and the value of a missing one.
  struct DropoutKeys: Sendable {
    var attention = "attention_dropout"
    /// nil: the outputs of attention and of the feed-forward layer are added without dropout.
    var residual: String?
    /// nil: the first states have no dropout.
    var embedding: String?
    var fallback = 0.0
  }

  /// The biases of a family's layers.
  struct Biases: OptionSet, Sendable {
    let rawValue: Int
    /// Queries, keys and values have biases.
    static let projections = Biases(rawValue: 1)
    /// The output projection of attention has a bias.
    static let output = Biases(rawValue: 2)
    /// Both are as `attention_bias` says.
    static let attentionKey = Biases(rawValue: 4)
    /// The feed-forward layer has biases.
    static let feedForward = Biases(rawValue: 8)
    /// It has them if `mlp_bias` says so.
    static let feedForwardKey = Biases(rawValue: 16)
  }

  /// The sizes that the attention of each layer depends on.
  struct Sizes {
    /// The number of layers.
    let layers: Int
    /// Elements of a head.
    let headSize: Int
    /// The longest sequence in tokens.
    let context: Int
  }

  var keys = Keys()
  var dropoutKeys = DropoutKeys()
  /// The values of missing keys.
  var vocabulary = 32_000, hidden = 4096, layers = 32, heads = 32, positions = 2048, epsilon = 1e-6
  /// The value of a missing intermediate size; nil: four times the hidden size.
  var intermediate: Int? = 11_008
  /// The value of a missing `num_key_value_heads`; nil: the number of heads.
  var keyValueHeads: Int?
  /// Whether groups of query heads may share a key/value head.
  var hasGroups = true
  /// Whether `head_dim` is read; otherwise heads divide the hidden size.
  var readsHeadSize = true
  /// The value of a missing `head_dim`; nil: the hidden size over the number of heads.
  var headSize: Int?
  var activation = Activation.silu
  var isTied = false
  var biases: Biases = []
  var norm = DecoderNormKind.rms
  var isGated = true
  var normalizesHeads = false
  var hasPostNorms = false
  var hasLearnedPositions = false
  /// Whether token embeddings are multiplied by the root of the hidden size.
  var scalesEmbeddings = false
  var scalesInitialOutputs = false
  /// Keys that change the model's output in a way that is not built, with the values that do not: null, and these.
  var unbuilt: [String: [JSON]] = ["quantization_config": []]
  var names = DecoderNames()
  /// The attention of each layer.
  var layerKinds: @Sendable (ModelConfiguration, Sizes) throws -> [DecoderLayerKind] = { configuration, sizes in
    let rotary = try RotaryScaling(configuration)
    return Array(repeating: DecoderLayerKind(rotary: rotary), count: sizes.layers)
  }
  /// The keys that list a value for each layer, written out.
  var layerLists: @Sendable (ModelConfiguration, Int) throws -> [String: [JSON]] = { configuration, count in
    configuration.json["layer_types"] == nil
      ? [:] : ["layer_types": try configuration.layerTypes(count, default: [])]
  }

  /// The key/value heads, a divisor of the query heads.
  func keyValueHeads(_ configuration: ModelConfiguration, heads: Int) throws -> Int {
    if !hasGroups || configuration.json["num_key_value_heads"]?.isNull == true { return heads }
    return try configuration.size("num_key_value_heads", default: keyValueHeads ?? heads)
  }

  /// The elements of a head.
  func headSize(_ configuration: ModelConfiguration, hidden: Int, heads: Int) throws -> Int {
    if readsHeadSize, let given = configuration.json["head_dim"], !given.isNull {
      return try configuration.size("head_dim", most: 1 << 16)
    }
    if let headSize { return headSize }
    guard hidden % heads == 0 else {
      throw RetortError(
        .input, "\(keys.hidden) \(hidden) is not a multiple of \(keys.heads) \(heads)", at: configuration.source,
        remedy: readsHeadSize ? "name the size of a head under head_dim, if it is another one" : nil)
    }
    return hidden / heads
  }
}

extension ModelConfiguration {
  /// `layer_types`, full_attention or sliding_attention for each layer; `fallback` where the key is missing or null.
  /// Throws `.input` for other kinds and for too few.
  func layerTypes(_ count: Int, default fallback: [Bool]) throws -> [JSON] {
    let (full, sliding): (JSON, JSON) = ("full_attention", "sliding_attention")
    guard let value = json["layer_types"], !value.isNull else { return fallback.map { $0 ? sliding : full } }
    guard let kinds = value.array, kinds.count >= count else {
      throw RetortError(
        .input, "layer_types has \(value.array.map { "\($0.count) values" } ?? value.text()) for \(count) layers",
        at: source)
    }
    if let other = kinds.first(where: { $0 != full && $0 != sliding }) {
      throw RetortError(
        .input, "layer_types has \(other.text()): only full_attention and sliding_attention are built", at: source)
    }
    return Array(kinds.prefix(count))
  }

  /// Throws if a key asks for something not built that changes the model's output.
  func refuseUnbuilt(_ family: DecoderTraits) throws {
    for (key, harmless) in family.unbuilt.sorted(by: { $0.key < $1.key }) {
      guard let value = json[key], !value.isNull, !harmless.contains(value) else { continue }
      if key == "quantization_config" {
        throw RetortError(
          .input, "quantization_config is set: weights of such formats are not read", at: source,
          remedy: "take the model's files in bf16, f16 or f32")
      }
      throw RetortError(.input, "\(key) is \(value.text()): that is not built", at: source)
    }
  }
}
