import Models
import Planner
import Platform
import Testing

/// A decoder's sizes from keys of config.json.
func decoder(
  _ family: String = "llama", vocabularySize: Int, hiddenSize: Int, layerCount: Int, headCount: Int,
  keyValueHeads: Int? = nil, headSize: Int? = nil, intermediateSize: Int, isTied: Bool = false
) throws -> DecoderSizes {
  var keys: [String: JSON] = [
    "model_type": .string(family), "vocab_size": .int(vocabularySize), "hidden_size": .int(hiddenSize),
    "num_hidden_layers": .int(layerCount), "num_attention_heads": .int(headCount),
    "num_key_value_heads": .int(keyValueHeads ?? headCount), "intermediate_size": .int(intermediateSize),
    "tie_word_embeddings": .bool(isTied),
  ]
  if let headSize { keys["head_dim"] = .int(headSize) }
  return try DecoderSizes(DecoderConfiguration(ModelConfiguration(.object(keys), source: "a test")), family: family)
}

/// Published figures that the formulas must give.
@Suite struct GoldenTests {
  static var llama2x7B: DecoderSizes {
    get throws {
      try decoder(
        vocabularySize: 32000, hiddenSize: 4096, layerCount: 32, headCount: 32, intermediateSize: 11008)
    }
  }
  static var llama2x13B: DecoderSizes {
    get throws {
      try decoder(
        vocabularySize: 32000, hiddenSize: 5120, layerCount: 40, headCount: 40, intermediateSize: 13824)
    }
  }
  static var llama2x70B: DecoderSizes {
    get throws {
      try decoder(
        vocabularySize: 32000, hiddenSize: 8192, layerCount: 80, headCount: 64, keyValueHeads: 8,
        intermediateSize: 28672)
    }
  }
  static var llama3x8B: DecoderSizes {
    get throws {
      try decoder(
        vocabularySize: 128256, hiddenSize: 4096, layerCount: 32, headCount: 32, keyValueHeads: 8,
        intermediateSize: 14336)
    }
  }
  static var llama3x70B: DecoderSizes {
    get throws {
      try decoder(
        vocabularySize: 128256, hiddenSize: 8192, layerCount: 80, headCount: 64, keyValueHeads: 8,
        intermediateSize: 28672)
    }
  }

  @Test func `Llama models have their published parameter counts`() throws {
    #expect(try GoldenTests.llama2x7B.parameterCount == 6_738_415_616)
    #expect(try GoldenTests.llama2x13B.parameterCount == 13_015_864_320)
    #expect(try GoldenTests.llama2x70B.parameterCount == 68_976_648_192)
    #expect(try GoldenTests.llama3x8B.parameterCount == 8_030_261_248)
    #expect(try GoldenTests.llama3x70B.parameterCount == 70_553_706_496)
  }

  @Test func `a tied head is counted once, and Qwen2 has biases on queries, keys and values`() throws {
    // Qwen2-0.5B: 494,032,768.
    let qwen = try decoder(
      "qwen2", vocabularySize: 151_936, hiddenSize: 896, layerCount: 24, headCount: 14, keyValueHeads: 2,
      intermediateSize: 4864, isTied: true)
    #expect(qwen.parameterCount == 494_032_768)
    // Llama-3.2-1B: 1,235,814,400, tied, heads of 64.
    let small = try decoder(
      vocabularySize: 128_256, hiddenSize: 2048, layerCount: 16, headCount: 32, keyValueHeads: 8, headSize: 64,
      intermediateSize: 8192, isTied: true)
    #expect(small.parameterCount == 1_235_814_400)
  }

  @Test func `other decoders have the parameter counts of transformers`() throws {
    // Qwen3-0.6B, SmolLM3-3B, GPT-2 and GPT-2 XL.
    let qwen = try decoder(
      "qwen3", vocabularySize: 151_936, hiddenSize: 1024, layerCount: 28, headCount: 16, keyValueHeads: 8,
      headSize: 128, intermediateSize: 3072, isTied: true)
    #expect(qwen.parameterCount == 596_049_920)
    let smol = try decoder(
      "smollm3", vocabularySize: 128_256, hiddenSize: 2048, layerCount: 36, headCount: 16, keyValueHeads: 4,
      intermediateSize: 11_008, isTied: true)
    #expect(smol.parameterCount == 3_075_098_624)
    let gpt = try decoder(
      "gpt2", vocabularySize: 50_257, hiddenSize: 768, layerCount: 12, headCount: 12, intermediateSize: 3072,
      isTied: true)
    #expect(gpt.parameterCount == 124_439_808)
    let large = try decoder(
      "gpt2", vocabularySize: 50_257, hiddenSize: 1600, layerCount: 48, headCount: 25, intermediateSize: 6400,
      isTied: true)
    #expect(large.parameterCount == 1_557_611_200)
    // Gemma 3 270M and 1B.
    let gemma = try decoder(
      "gemma3_text", vocabularySize: 262_144, hiddenSize: 640, layerCount: 18, headCount: 4, keyValueHeads: 1,
      headSize: 256, intermediateSize: 2048, isTied: true)
    #expect(gemma.parameterCount == 268_098_176)
    let wide = try decoder(
      "gemma3_text", vocabularySize: 262_144, hiddenSize: 1152, layerCount: 26, headCount: 4, keyValueHeads: 1,
      headSize: 256, intermediateSize: 6912, isTied: true)
    #expect(wide.parameterCount == 999_885_952)
  }

  /// The number of weights of an encoder's config.json.
  private func count(_ family: String, _ keys: [String: JSON] = [:]) throws -> Int {
    try encoder(family, keys).parameterCount
  }

  private func encoder(_ family: String, _ keys: [String: JSON]) throws -> EncoderSizes {
    let json = JSON.object(keys.merging(["model_type": .string(family)]) { own, _ in own })
    let configuration = try ModelConfiguration(json, source: "config.json")
    return EncoderSizes(try #require(configuration.sizes as? EncoderConfiguration), family: family)
  }

  @Test func `bert_hash models have their published parameter counts`() throws {
    func sizes(_ hidden: Int, _ inner: Int, _ projections: Int) throws -> Int {
      // Without the classifier of two classes.
      try count(
        "bert_hash",
        [
          "hidden_size": .int(hidden), "num_hidden_layers": 2, "num_attention_heads": 2,
          "intermediate_size": .int(inner), "projections": .int(projections),
        ]) - 2 * (hidden + 1)
    }
    #expect(try sizes(50, 200, 5) == 242_560)
    #expect(try sizes(80, 320, 8) == 448_336)
    #expect(try sizes(128, 512, 16) == 969_632)
  }

  @Test func `BERT models have their published parameter counts`() throws {
    // Encoder and pooler of bert-base-uncased 109,482,240 and bert-large-uncased 335,141,888, and the classifier.
    #expect(try count("bert") == 109_482_240 + 2 * 768 + 2)
    let large: [String: JSON] = [
      "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
    ]
    #expect(try count("bert", large) == 335_141_888 + 2 * 1024 + 2)
  }

  @Test func `other encoders have the parameter counts of transformers`() throws {
    func base(_ words: Int) -> [String: JSON] {
      ["vocab_size": .int(words), "max_position_embeddings": 514, "type_vocab_size": 1]
    }
    #expect(try count("roberta", base(50_265)) == 124_647_170)
    #expect(try count("xlm-roberta", base(250_002)) == 278_045_186)
    #expect(try encoder("roberta", base(50_265)).maximumPositions == 512)
    #expect(try count("distilbert") == 66_955_010)
    #expect(try count("electra") == 13_549_314)
    #expect(try count("mpnet", ["max_position_embeddings": 514]) == 109_488_002)
    #expect(try count("modernbert") == 149_606_402)
    let large: [String: JSON] = [
      "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16, "intermediate_size": 2624,
    ]
    #expect(try count("modernbert", large) == 395_833_346)
  }

  @Test func `the exact arithmetic of a 70B teacher is near the rule of 2 operations a weight and token`() throws {
    let rule = 2 * Double(try GoldenTests.llama2x70B.parameterCount) * 2048
    // The exact count leaves the embeddings out and has causal attention, within a few parts in a hundred of the rule.
    let exact = try GoldenTests.llama2x70B.forwardFLOPs(TokenLoad(sequences: 1, length: 2048))
    #expect(abs(exact / rule - 1) < 0.03)
  }

  @Test func `what a sequence of 2,048 tokens makes a 70B teacher send`() throws {
    let mebibyte = Double(1 << 20)
    let rows = 2048.0 / mebibyte
    #expect(Double(Layout.Payload.logits.rowBytes(classes: 32000, hidden: 8192, .bf16)) * rows == 250)
    #expect(Double(Layout.Payload.hidden.rowBytes(classes: 32000, hidden: 8192, .bf16)) * rows == 32)
    // A value of two bytes and a class of two would be 0.5 MiB; ours have four each, and the rest's weight.
    #expect(Layout.Payload.topK(64).rowBytes(classes: 32000, hidden: 8192, .bf16) == 64 * (4 + 4) + 4)
    #expect(Double(64 * (2 + 2)) * rows == 0.5)
    #expect(
      Double(Formulas.boundaryPayload(tokens: 2048, hidden: 8192, elementBytes: 2)) / mebibyte == 32)
    let layer = try GoldenTests.llama2x70B.tensors.filter { $0.block == 1 }.reduce(0) { $0 + $1.count }
    #expect(abs(Double(layer * 2) / mebibyte - 1632) < 0.05)
  }

  @Test func `a pipeline's bubble shrinks with micro-batches`() {
    #expect(Formulas.bubble(stages: 1, microBatches: 1) == 0)
    #expect(Formulas.bubble(stages: 4, microBatches: 1) == 0.75)
    #expect(Formulas.bubble(stages: 4, microBatches: 12) == 0.2)
  }

  @Test func `an allreduce is a reduce-scatter and an all-gather`() {
    #expect(Formulas.allReduceBytes(1000, ranks: 1) == 0)
    #expect(Formulas.halfBytes(1000, ranks: 4) == 750)
    #expect(Formulas.allReduceBytes(1000, ranks: 4) == 1500)
  }
}
