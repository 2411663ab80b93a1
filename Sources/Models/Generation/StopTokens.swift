import Platform

extension ModelConfiguration {
  /// The tokens that end a text: `eos_token_id`, a number or a list, of generation_config.json beside the model where
  /// that says it, else of config.json; empty where neither does.
  ///
  /// Throws `.input` for a value of another kind.
  public func stopTokens(inModelDirectory directory: String) throws -> Set<Int32> {
    let path = joinPath(directory, "generation_config.json")
    if fileExists(path) {
      let stops = try ModelConfiguration.tokens(JSON(contentsOf: path)["eos_token_id"], "eos_token_id", path)
      if !stops.isEmpty { return stops }
    }
    return try ModelConfiguration.tokens(json["eos_token_id"], "eos_token_id", source)
  }

  /// The token that begins a text, `bos_token_id`; nil where the configuration has none.
  public func startToken() throws -> Int32? {
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
