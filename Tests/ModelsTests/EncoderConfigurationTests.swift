import Models
import Platform
import Testing

/// What an encoder's config.json says of its layers.
@Suite struct EncoderConfigurationTests {
  private func sizes(_ family: String, _ keys: [String: JSON]) throws -> EncoderConfiguration {
    let json = JSON.object(keys.merging(["model_type": .string(family)]) { own, _ in own })
    return try #require(
      ModelConfiguration(json, source: "config.json").sizes as? EncoderConfiguration)
  }

  private func refusal(_ family: String, _ keys: [String: JSON]) throws -> String {
    try #require(throws: RetortError.self) { try sizes(family, keys) }.description
  }

  @Test func `ModernBERT's layers alternate, each kind with its own base`() throws {
    let plain = try sizes("modernbert", ["num_hidden_layers": 4]).body
    #expect(plain.layers.map(\.reach) == [nil, 64, 64, nil])
    #expect(plain.layers.map { $0.rotary?.theta } == [160_000, 10_000, 10_000, 160_000])
    let older = try sizes(
      "modernbert",
      [
        "num_hidden_layers": 3, "global_attn_every_n_layers": 2, "local_attention": 9, "global_rope_theta": 500,
        "local_rope_theta": .null,
      ]).body
    #expect(older.layers.map(\.reach) == [nil, 4, nil] && older.layers.map { $0.rotary?.theta } == [500, 10_000, 500])
    let newer = try sizes(
      "modernbert",
      [
        "num_hidden_layers": 2, "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": [
          "full_attention": ["rope_type": "default", "rope_theta": 7], "sliding_attention": ["rope_theta": 8],
        ],
      ]).body
    #expect(newer.layers.map(\.reach) == [64, nil] && newer.layers.map { $0.rotary?.theta } == [8, 7])
  }

  @Test func `ModernBERT's values that are not built are refused by the name of their key`() throws {
    let bad: [(String, JSON)] = [
      ("layer_types", ["full_attention"]), ("layer_types", "full_attention"), ("local_attention", 0),
      ("layer_types", .array(Array(repeating: "linear_attention", count: 22))), ("global_attn_every_n_layers", 0),
      ("rope_parameters", ["rope_theta": 5]), ("rope_parameters", 5), ("rope_parameters", ["full_attention": 5]),
      ("rope_parameters", ["full_attention": ["rope_type": "yarn"]]), ("global_rope_theta", -1),
      ("local_rope_theta", "a"), ("classifier_pooling", "max"), ("hidden_activation", "quick_gelu2"),
      ("classifier_activation", 3), ("attention_bias", 1), ("mlp_bias", "no"), ("norm_bias", 0), ("norm_eps", -1),
      ("classifier_bias", "yes"), ("attention_dropout", 1), ("mlp_dropout", -0.1), ("embedding_dropout", "a"),
      ("classifier_dropout", 2), ("rope_scaling", 3),
    ]
    for (key, value) in bad {
      let said = try refusal("modernbert", [key: value])
      #expect(said.contains(key) && said.contains("config.json"), "\(key): \(said)")
    }
    #expect(try refusal("modernbert", ["hidden_size": 9, "num_attention_heads": 3]).contains("rotary"))
  }

  @Test func `MPNet's positions begin after token 1, and its buckets are 32`() throws {
    let sizes = try sizes("mpnet", ["pad_token_id": 0, "max_position_embeddings": 514])
    #expect(sizes.positionOffset == 2 && sizes.maximumPositions == 512 && sizes.shape.hasAttentionBias)
    #expect(try refusal("mpnet", ["relative_attention_num_buckets": 16]).contains("relative_attention_num_buckets"))
  }

  @Test func `ModernBERT's dropout is that of its own keys`() throws {
    let dropout = try sizes(
      "modernbert",
      ["attention_dropout": 0.1, "mlp_dropout": 0.2, "embedding_dropout": 0.3, "classifier_dropout": 0.4]
    ).dropout
    #expect(dropout.attention == 0.1 && dropout.attentionOutput == 0.1 && dropout.inner == 0.2)
    #expect(dropout.output == nil && dropout.embedding == 0.3 && dropout.classifier == 0.4)
    let bert = try sizes("bert", ["hidden_dropout_prob": 0.2]).dropout
    #expect(bert.inner == nil && bert.output == 0.2 && bert.attentionOutput == 0.2 && bert.classifier == 0.2)
  }
}
