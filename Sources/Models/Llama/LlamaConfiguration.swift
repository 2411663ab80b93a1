import Autograd
import Platform

/// The sizes of a decoder of the Llama kind (Touvron et al., 2023), by the names of Hugging Face's `LlamaConfig`,
/// `MistralConfig` and `Qwen2Config`.
package struct LlamaConfiguration: Sendable, Equatable {
  /// `vocab_size`: number of tokens.
  package let vocabularySize: Int
  /// `hidden_size`: elements of a token's state.
  package let hiddenSize: Int
  /// `num_hidden_layers`.
  package let layerCount: Int
  /// `num_attention_heads`: query heads.
  package let headCount: Int
  /// `num_key_value_heads`: a divisor of `headCount`; equally many query heads share each of them.
  package let keyValueHeadCount: Int
  /// `head_dim`: elements of a head, an even number; `hiddenSize / headCount` if the key is null or missing.
  package let headSize: Int
  /// `intermediate_size`: inner units of the feed-forward layer.
  package let intermediateSize: Int
  /// `max_position_embeddings`: the context, the maximum sequence length in tokens.
  package let maximumPositions: Int
  /// `rms_norm_eps`: added to the mean square in every norm, 0 to 1.
  package let normEpsilon: Float
  /// `hidden_act`: activation of the gate in the feed-forward layer.
  package let activation: Activation
  /// The angles of rotary positions.
  package let rotary: RotaryScaling
  /// Whether the query, key and value projections have biases.
  package let hasProjectionBias: Bool
  /// Whether the output projection of attention has a bias.
  package let hasOutputBias: Bool
  /// `mlp_bias`: whether the feed-forward layer has biases.
  package let hasFeedForwardBias: Bool
  /// `tie_word_embeddings`: whether the head is the token embeddings.
  package let isTied: Bool
  /// `initializer_range`: standard deviation of initial weights.
  package let initializerRange: Float

  /// Reads and checks the keys; `family` has the values of missing ones, which are those of its class in
  /// `transformers`. Throws `.input` naming file and key.
  package init(_ configuration: ModelConfiguration, _ family: DecoderTraits) throws {
    vocabularySize = try configuration.size("vocab_size", default: family.vocabulary)
    hiddenSize = try configuration.size("hidden_size", default: 4096)
    layerCount = try configuration.size("num_hidden_layers", default: 32, most: ModelConfiguration.mostLayers)
    headCount = try configuration.size("num_attention_heads", default: 32)
    keyValueHeadCount = try configuration.size("num_key_value_heads", default: family.keyValueHeads ?? headCount)
    intermediateSize = try configuration.size("intermediate_size", default: family.intermediate)
    maximumPositions = try configuration.size("max_position_embeddings", default: family.positions)
    normEpsilon = try configuration.number("rms_norm_eps", default: 1e-6, in: 0...1)
    initializerRange = try configuration.number("initializer_range", default: 0.02, in: 0...10)
    activation = try configuration.activation(default: .silu)
    rotary = try RotaryScaling(configuration)
    isTied = try configuration.flag("tie_word_embeddings", default: false)
    let bias = try family.readsBiases && configuration.flag("attention_bias", default: false)
    hasProjectionBias = bias || family.hasProjectionBias
    hasOutputBias = bias
    hasFeedForwardBias = try family.readsBiases && configuration.flag("mlp_bias", default: false)
    headSize = try LlamaConfiguration.headSize(configuration, hidden: hiddenSize, heads: headCount)
    try checkSizes(configuration.source)
    try configuration.requireBuildable(weights: [
      [2, vocabularySize, hiddenSize], [layerCount, 2, headCount + keyValueHeadCount, headSize, hiddenSize],
      [layerCount, 3, intermediateSize, hiddenSize],
    ])
    try configuration.refuseUnbuilt(family.window, context: maximumPositions)
  }

  private static func headSize(_ configuration: ModelConfiguration, hidden: Int, heads: Int) throws -> Int {
    if let given = configuration.json["head_dim"], !given.isNull {
      return try configuration.size("head_dim", most: 1 << 16)
    }
    guard hidden % heads == 0 else {
      throw RetortError(
        .input, "hidden_size \(hidden) is not a multiple of num_attention_heads \(heads)", at: configuration.source,
        remedy: "name the size of a head under head_dim, if it is another one")
    }
    return hidden / heads
  }

  private func checkSizes(_ source: String) throws {
    if headCount % keyValueHeadCount != 0 {
      throw RetortError(
        .input, "num_attention_heads \(headCount) is not a multiple of num_key_value_heads \(keyValueHeadCount)",
        at: source)
    }
    if headSize % 2 != 0 {
      throw RetortError(.input, "the size of a head is \(headSize): rotary positions want an even one", at: source)
    }
  }
}

extension LlamaConfiguration: ModelSizes {
  package var depth: Int? { layerCount }
  /// All text is one.
  package var textTypes: Int? { 1 }
  package var contextLength: Int? { maximumPositions }
  package var vocabulary: Int? { vocabularySize }
  package var text: String { "L\(layerCount) H\(hiddenSize) V\(vocabularySize)" }
  package var classifierName: String? { nil }

  package var probes: [(names: [String], shape: [Int])] {
    func probe(_ name: String, _ shape: [Int]) -> ([String], [Int]) { (["model.\(name)", name], shape) }
    return [
      probe("embed_tokens.weight", [vocabularySize, hiddenSize]),
      probe("layers.0.self_attn.q_proj.weight", [headCount * headSize, hiddenSize]),
      probe("layers.0.self_attn.k_proj.weight", [keyValueHeadCount * headSize, hiddenSize]),
      probe("layers.0.mlp.gate_proj.weight", [intermediateSize, hiddenSize]),
    ]
  }

  package func build(part: ModelPart, source: String) throws -> any Model { try LlamaModel(self, part: part) }
}

extension ModelConfiguration {
  /// The Boolean under a key; null counts as missing.
  fileprivate func flag(_ key: String, default fallback: Bool) throws -> Bool {
    guard let value = json[key], !value.isNull else { return fallback }
    guard let flag = value.bool else {
      throw RetortError(.input, "\(key) is \(value.text()), true or false was expected", at: source)
    }
    return flag
  }

  /// Throws `.input` if training a student of this configuration needs something that is not built; inference does not
  /// need it.
  package func requireTrainable() throws {
    guard family.isLanguageModel, let dropout = json["attention_dropout"]?.double, dropout != 0 else { return }
    throw RetortError(
      .input, "attention_dropout is \(dropout): dropout of packed documents is not built", at: source,
      remedy: "set it to 0, which changes nothing but training")
  }

  /// Throws if a key asks for something not built that changes the model's output.
  fileprivate func refuseUnbuilt(_ kind: DecoderTraits.Window, context: Int) throws {
    if let window = window(kind), window < context {
      throw RetortError(
        .input, "sliding_window is \(window), below the context of \(context) tokens: windows are not built",
        at: source,
        remedy: "set max_position_embeddings to \(window) if no longer text is wanted: the model is the same there")
    }
    if let method = json["quantization_config"], !method.isNull {
      throw RetortError(
        .input, "quantization_config is set: weights of such formats are not read", at: source,
        remedy: "take the model's files in bf16, f16 or f32")
    }
  }

  /// Windows begin at layer `max_window_layers`, 28 if the key is missing, which smaller models do not reach; newer
  /// files list the kind of attention of each layer instead.
  private var hasWindowLayer: Bool {
    if let kinds = json["layer_types"]?.array { return kinds.contains("sliding_attention") }
    return json["max_window_layers"]?.int ?? 28 < json["num_hidden_layers"]?.int ?? 32
  }

  /// The size of the window, or nil if `sliding_window` does not apply.
  private func window(_ kind: DecoderTraits.Window) -> Int? {
    switch kind {
    case .none: nil
    case .always(let size): json["sliding_window"].map { $0.isNull ? nil : $0.int ?? size } ?? size
    case .onRequest: json["use_sliding_window"]?.bool == true && hasWindowLayer ? json["sliding_window"]?.int : nil
    }
  }
}
