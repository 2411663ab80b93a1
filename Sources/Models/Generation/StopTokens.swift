import Platform

extension ModelConfiguration {
  /// The tokens that end a text: `eos_token_id`, a number or a list, of the model's generation_config.json, else of its
  /// config.json; empty if neither has it.
  ///
  /// Throws `.input` for a value of another kind.
  package func stopTokens(inModelDirectory directory: String) throws -> Set<Int32> {
    let path = joinPath(directory, "generation_config.json")
    if fileExists(path) {
      let stops = try ModelConfiguration.tokens(JSON(contentsOf: path)["eos_token_id"], "eos_token_id", path)
      if !stops.isEmpty { return stops }
    }
    return try ModelConfiguration.tokens(json["eos_token_id"], "eos_token_id", source)
  }

  /// A sentence about the settings of generation_config.json that Retort does not follow; empty if there are none.
  ///
  /// Options of the command set sampling and the length of a text, so these settings are not reported.
  package func unfollowed(inModelDirectory directory: String) -> [String] {
    let path = joinPath(directory, "generation_config.json")
    guard let json = try? JSON(contentsOf: path) else { return [] }
    // The values with which a key has no effect.
    let neutral: [(key: String, values: [JSON])] = [
      ("suppress_tokens", [[]]), ("begin_suppress_tokens", [[]]), ("bad_words_ids", [[]]), ("forced_bos_token_id", []),
      ("forced_eos_token_id", []), ("repetition_penalty", [1, 1.0]), ("encoder_repetition_penalty", [1, 1.0]),
      ("no_repeat_ngram_size", [0]), ("min_length", [0]), ("min_new_tokens", [0]), ("num_beams", [1]),
      ("num_beam_groups", [1]), ("penalty_alpha", [0, 0.0]), ("sequence_bias", []), ("stop_strings", [[]]),
      ("exponential_decay_length_penalty", []), ("guidance_scale", [1, 1.0]),
    ]
    let asked = neutral.filter { entry in
      json[entry.key].map { !$0.isNull && !entry.values.contains($0) } ?? false
    }
    guard !asked.isEmpty else { return [] }
    return ["\(path): \(asked.map(\.key).joined(separator: ", ")) is not followed here"]
  }

  /// The token that starts a text, `bos_token_id`; nil if the configuration has none.
  package func startToken() throws -> Int32? {
    try ModelConfiguration.tokens(json["bos_token_id"], "bos_token_id", source).min()
  }

  private static func tokens(_ value: JSON?, _ key: String, _ source: String) throws -> Set<Int32> {
    guard let value, !value.isNull else { return [] }
    let ids = (value.array ?? [value]).map { $0.int.flatMap(Int32.init(exactly:)) }
    guard !ids.contains(nil) else {
      throw RetortError(.input, "\(key) is \(value.text()), a token id or a list of them was expected", at: source)
    }
    return Set(ids.compactMap { $0 })
  }
}
