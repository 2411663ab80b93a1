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

  private func configuration(_ changes: [String: JSON]) throws -> DecoderConfiguration {
    var keys = try tinyDecoder().json
    keys.merge(changes) { _, new in new }
    return try DecoderConfiguration(ModelConfiguration(.object(keys), source: "test"))
  }

  @Test func `windows are in force where the keys say so, and below the context`() throws {
    func windows(_ changes: [String: JSON]...) throws -> [Int?] {
      try configuration(changes.reduce(into: [:]) { $0.merge($1) { $1 } }).layers.map(\.window)
    }
    let none: [Int?] = [nil, nil, nil]
    let mistral: [String: JSON] = ["model_type": "mistral", "sliding_window": 16]
    #expect(try windows(mistral) == [16, 16, 16])
    for window: JSON in [.null, 32, 4096] { #expect(try windows(mistral, ["sliding_window": window]) == none) }
    let qwen: [String: JSON] = ["model_type": "qwen2", "sliding_window": 16, "use_sliding_window": false]
    #expect(try windows(qwen) == none && configuration(qwen).hasProjectionBias)
    let windowed = qwen.merging(["use_sliding_window": true, "max_window_layers": 2]) { $1 }
    #expect(try windows(windowed) == [nil, nil, 16])
    // Windows begin at a layer that the model does not have: 28 where no key names one.
    for first: JSON in [3, 4, 28, .null] { #expect(try windows(windowed, ["max_window_layers": first]) == none) }
    let (full, sliding): (JSON, JSON) = ("full_attention", "sliding_attention")
    #expect(try windows(windowed, ["layer_types": [full, full, full]]) == none)
    #expect(
      try windows(windowed, ["layer_types": [sliding, full, sliding], "max_window_layers": 9]) == [16, nil, 16])
    let gemma: [String: JSON] = ["model_type": "gemma3_text", "sliding_window": 8, "sliding_window_pattern": 2]
    #expect(try windows(gemma) == [8, nil, 8])
    // The rotary base of a layer is that of its kind, whether or not its window is shorter than the context.
    let long = try configuration(gemma.merging(["sliding_window": 64]) { $1 }).layers
    #expect(long.map(\.window) == none && long.map(\.rotary?.theta) == [10_000, 1_000_000, 10_000])
    for bad: JSON in [0, -3, 1.5, "8"] {
      #expect(throws: RetortError.self) { try windows(mistral, ["sliding_window": bad]) }
    }
  }

  @Test func `what a family does not build is refused by its key`() throws {
    func refusal(_ family: JSON, _ changes: [String: JSON]) -> String {
      let error = #expect(throws: RetortError.self) {
        try configuration(changes.merging(["model_type": family]) { $1 })
      }
      #expect(error?.kind == .input)
      return error?.description ?? ""
    }
    for key in ["final_logit_softcapping", "attn_logit_softcapping"] {
      #expect(refusal("gemma3_text", [key: 30]).contains("\(key) is 30"))
      _ = try configuration(["model_type": "gemma3_text", key: .null])
    }
    #expect(refusal("gemma3_text", ["use_bidirectional_attention": true]).contains("use_bidirectional_attention"))
    #expect(refusal("gemma3_text", ["hidden_activation": "xielu"]).contains("hidden_activation \"xielu\""))
    #expect(refusal("gemma3_text", ["rope_parameters": ["rope_theta": 5]]).contains("rope_parameters.rope_theta is 5"))
    #expect(
      refusal("gemma3_text", ["rope_parameters": ["full_attention": ["rope_type": "yarn"]]])
        .contains("rope_parameters.full_attention of type \"yarn\""))
    #expect(refusal("gpt2", ["activation_function": "quick"]).contains("activation_function"))
    #expect(refusal("gpt2", ["add_cross_attention": true]).contains("add_cross_attention"))
    #expect(refusal("gpt2", ["n_head": 5]).contains("n_embd 24 is not a multiple of n_head 5"))
    #expect(refusal("gpt2", ["resid_pdrop": 1.5]).contains("resid_pdrop"))
    #expect(refusal("smollm3", ["no_rope_layers": [1, 0]]).contains("no_rope_layers"))
    #expect(refusal("smollm3", ["no_rope_layers": [1, 0, "x"]]).contains("no_rope_layers"))
    let chunked: JSON = ["chunked_attention", "full_attention", "full_attention"]
    #expect(
      refusal("qwen3", ["use_sliding_window": true, "sliding_window": 8, "layer_types": chunked]).contains(
        "layer_types"))
  }

  @Test func `a model of some layers keeps what config.json lists for each of them`() throws {
    func lists(_ changes: [String: JSON]) throws -> [String: [JSON]] {
      let keys = try tinyDecoder().json.merging(changes) { $1 }
      let configuration = try ModelConfiguration(.object(keys), source: "test")
      return try configuration.family.definition.layerLists(configuration)
    }
    #expect(try lists([:]) == [:] && lists(["model_type": "gpt2"]) == [:])
    let smol = try lists(["model_type": "smollm3", "no_rope_layer_interval": 2])
    #expect(smol["no_rope_layers"] == [1, 0, 1])
    #expect(
      try lists(["model_type": "gemma3_text", "sliding_window_pattern": 3])["layer_types"]?.last == "full_attention")
    let qwen = try lists(["model_type": "qwen3", "use_sliding_window": true, "max_window_layers": 2])
    #expect(qwen["layer_types"] == ["full_attention", "full_attention", "sliding_attention"])
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
