import Platform
import TestSupport
import Testing

@testable import Models

@Suite struct DecoderConfigurationTests {
  private func refusal(_ changes: [String: JSON]) throws -> String {
    let configuration = try tinyDecoder(changes)
    let error = #expect(throws: RetortError.self) { try DecoderConfiguration(configuration) }
    #expect(error?.kind == .input)
    return error?.description ?? ""
  }

  @Test func `what would be another model is refused by name`() throws {
    #expect(try refusal(["num_attention_heads": 5]).contains("hidden_size 24 is not a multiple"))
    #expect(try refusal(["num_key_value_heads": 4]).contains("num_attention_heads 6 is not a multiple"))
    #expect(try refusal(["head_dim": 5]).contains("rotary positions want an even one"))
    #expect(try refusal(["num_hidden_layers": 1_048_576]).contains("a whole number from 1 to 16384"))
    #expect(try refusal(["head_dim": 1_048_576]).contains("head_dim is 1048576"))
    #expect(
      try refusal(["vocab_size": 1_073_741_824, "hidden_size": 6_291_456]).contains("a model of these sizes has"))
    #expect(try refusal(["hidden_act": "xielu"]).contains("xielu"))
    #expect(try refusal(["attention_dropout": 1]).contains("attention_dropout is 1"))
    #expect(try refusal(["quantization_config": ["bits": 4]]).contains("quantization_config"))
    #expect(try refusal(["partial_rotary_factor": 0.5]).contains("partial_rotary_factor"))
    #expect(try refusal(["tie_word_embeddings": "yes"]).contains("true or false"))
    for kind in ["yarn", "dynamic", "longrope", "su"] {
      #expect(try refusal(["rope_scaling": ["type": .string(kind), "factor": 2]]).contains("\"\(kind)\" is not built"))
    }
    #expect(
      try refusal(["rope_parameters": ["full_attention": [:], "sliding_attention": [:]]]).contains("layer to layer"))
    #expect(try refusal(["rope_scaling": ["rope_type": "linear"]]).contains("rope_scaling.factor is missing"))
    #expect(
      try refusal(["rope_scaling": ["rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4]])
        .contains("high_freq_factor is 4"))
  }

  @Test func `rope_scaling counts where a file has rope_parameters too`() throws {
    let plain: JSON = ["rope_type": "default", "rope_theta": 10000]
    let scaled: JSON = ["rope_type": "linear", "factor": 4]
    func scaling(_ keys: [String: JSON]) throws -> RotaryScaling { try RotaryScaling(tinyDecoder(keys)) }
    let both = try scaling(["rope_parameters": plain, "rope_scaling": scaled])
    #expect(try both == scaling(["rope_scaling": scaled]) && both != scaling(["rope_parameters": plain]))
    #expect(try scaling(["rope_parameters": scaled, "rope_scaling": .null]) == both)
  }

  @Test func `windows are refused below the context, and only where they are in force`() throws {
    let mistral: [String: JSON] = ["model_type": "mistral", "sliding_window": 16]
    func configuration(_ changes: [String: JSON]) throws -> DecoderConfiguration {
      var keys = try tinyDecoder().json
      keys.merge(changes) { _, new in new }
      return try DecoderConfiguration(ModelConfiguration(.object(keys), source: "test"))
    }
    #expect(throws: RetortError.self) { try configuration(mistral) }
    for window: JSON in [.null, 32, 4096] { _ = try configuration(mistral.merging(["sliding_window": window]) { $1 }) }
    let qwen: [String: JSON] = ["model_type": "qwen2", "sliding_window": 16, "use_sliding_window": false]
    #expect(try configuration(qwen).hasProjectionBias)
    let windowed = qwen.merging(["use_sliding_window": true, "max_window_layers": 2]) { $1 }
    #expect(throws: RetortError.self) { try configuration(windowed) }
    // Windows begin at a layer that the model does not have: 28 where no key names one.
    for first: JSON in [3, 4, 28, nil] { _ = try configuration(windowed.merging(["max_window_layers": first]) { $1 }) }
    let full: JSON = ["full_attention", "full_attention", "full_attention"]
    _ = try configuration(windowed.merging(["layer_types": full]) { $1 })
    let mixed: JSON = ["full_attention", "full_attention", "sliding_attention"]
    #expect(throws: RetortError.self) {
      try configuration(windowed.merging(["layer_types": mixed, "max_window_layers": 9]) { $1 })
    }
  }

  @Test func `angles of transformers, for every kind of scaling and both names of the key`() throws {
    func frequencies(_ changes: [String: JSON]) throws -> [Double] {
      try DecoderConfiguration(tinyDecoder(changes)).layers[0].rotary?.frequencies(headSize: 16) ?? []
    }
    // ROPE_INIT_FUNCTIONS of transformers 5.23 for a head of 16.
    let llama3 = [
      1.0, 0.193922758102417, 0.010538230650126934, 0.0009115831344388425, 0.00017677668074611574,
      3.428102354519069e-05, 6.647869668086059e-06, 1.289173155782919e-06,
    ]
    let linear = [
      0.25, 0.07905694097280502, 0.02500000037252903, 0.007905694656074047, 0.0024999999441206455,
      0.0007905694656074047, 0.0002500000118743628, 7.905694656074047e-05,
    ]
    let scaling: [String: JSON] = [
      "rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
      "original_max_position_embeddings": 256,
    ]
    let old = try frequencies(["rope_theta": 500_000, "rope_scaling": .object(scaling)])
    let new = try frequencies(["rope_parameters": .object(scaling.merging(["rope_theta": 500_000]) { $1 })])
    #expect(old == new)
    for (mine, theirs) in zip(new, llama3) { #expect(abs(mine - theirs) < 1e-6 * theirs) }
    for (mine, theirs) in zip(try frequencies(["rope_scaling": ["type": "linear", "factor": 4]]), linear) {
      #expect(abs(mine - theirs) < 1e-6 * theirs)
    }
  }

  @Test func `the tokens that end a text are those of generation_config.json, else of config.json`() throws {
    let directory = try Shared.temporaryDirectory("stops")
    let configuration = try tinyDecoder(["eos_token_id": 2, "bos_token_id": 1])
    #expect(try configuration.stopTokens(inModelDirectory: directory) == [2])
    #expect(try configuration.startToken() == 1)
    try writeFileAtomically(directory + "/generation_config.json", "{\"eos_token_id\": [7, 9]}")
    #expect(try configuration.stopTokens(inModelDirectory: directory) == [7, 9])
    #expect(throws: RetortError.self) {
      try tinyDecoder(["eos_token_id": "two"]).stopTokens(inModelDirectory: Shared.nowhere)
    }
  }
}
