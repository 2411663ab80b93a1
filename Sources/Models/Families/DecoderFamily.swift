import Platform
import Safetensors

/// What distinguishes one family of decoders from another; the defaults are Llama's.
package struct DecoderTraits: Sendable {
  /// The attention window of `sliding_window`, as far as config.json asks for one.
  enum Window: Sendable {
    /// The family has none.
    case none
    /// Always, of this size if the key is missing; an explicit null means no window.
    case always(Int)
    /// If `use_sliding_window` is set and a layer has it: from layer `max_window_layers` on, or as `layer_types` lists.
    case onRequest
  }

  /// The values of missing keys.
  var vocabulary = 32_000, intermediate = 11_008, positions = 2048
  /// The value of a missing `num_key_value_heads`; nil: the number of heads.
  var keyValueHeads: Int?
  /// Whether `attention_bias` and `mlp_bias` are read.
  var readsBiases = false
  /// Whether queries, keys and values have biases without a key for them.
  var hasProjectionBias = false
  var window = Window.none
}

/// A family whose body is `LlamaModel`'s.
package protocol DecoderFamily: FamilyDefinition {
  /// What distinguishes the family.
  var traits: DecoderTraits { get }
}

extension DecoderFamily {
  package var isLanguageModel: Bool { true }
  package var layerMarker: String { "layers." }
  package var anchors: [String] { ["model.embed_tokens.weight", "embed_tokens.weight"] }

  /// A decoder without a head tensor may be tied.
  package func head(ofTensorsIn source: any WeightSource) -> CheckpointHead {
    if source.contains("lm_head.weight") { return .causalLanguageModel }
    if source.contains("score.weight") || source.contains("classifier.weight") { return .sequenceClassification }
    return source.contains("qa_outputs.weight") ? .questionAnswering : .none
  }

  package func sizes(_ configuration: ModelConfiguration) throws -> any ModelSizes {
    try LlamaConfiguration(configuration, traits)
  }
}

extension LlamaConfiguration {
  /// Reads and checks the keys of a decoder; throws `.input` naming file and key, and for another family.
  package init(_ configuration: ModelConfiguration) throws {
    guard let family = configuration.family.definition as? any DecoderFamily else {
      throw RetortError(.input, "a \(configuration.family.rawValue) model is no decoder", at: configuration.source)
    }
    try self.init(configuration, family.traits)
  }
}
