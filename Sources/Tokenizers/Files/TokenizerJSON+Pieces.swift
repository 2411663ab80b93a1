import Platform

// The sections of tokenizer.json for byte-level and SentencePiece-style tokenizers.
extension TokenizerJSON {
  // MARK: Model

  func bytePairs(_ model: OrderedJSON, _ vocabulary: Vocabulary) throws -> BPEModel {
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      if let affix = model[key]?.string, !affix.isEmpty {
        throw refusal("is \(quoted(affix)): word prefixes and suffixes are not supported for BPE", in: "model.\(key)")
      }
    }
    if case .double(let dropout)? = model["dropout"], dropout != 0 {
      throw refusal("is \(dropout): with dropout a text gets different tokens each time", in: "model.dropout")
    }
    let unknown = model["unk_token"]?.string.flatMap { vocabulary.id(of: $0) }
    let byteFallback = model["byte_fallback"]?.bool ?? false
    let units: BPEModel.Units =
      try usesBytes()
      ? .bytes
      : .scalars(byteFallback: byteFallback, unknown: unknown, fusesUnknown: model["fuse_unk"]?.bool ?? false)
    if let token = model["unk_token"]?.string, unknown == nil, !BPEModel.coversAllBytes(vocabulary, units) {
      // If every byte has a token, the unknown token is never needed.
      throw refusal("\(quoted(token)) is not in the vocabulary", in: "model.unk_token")
    }
    return try BPEModel(
      vocabulary: vocabulary, merges: merges(model), units: units, ignoresMerges: model["ignore_merges"]?.bool ?? false,
      at: place("model.merges"))
  }

  /// The pairs, written as two strings or as one string with a space between the parts.
  private func merges(_ model: OrderedJSON) throws -> [(left: String, right: String)] {
    guard let list = model["merges"]?.array else { throw refusal("is not a list of merges", in: "model.merges") }
    return try list.enumerated().map { index, entry in
      var parts = entry.array?.compactMap(\.string) ?? []
      if let line = entry.string {
        parts = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
      }
      guard parts.count == 2 else { throw refusal("is not a pair of tokens", in: "model.merges[\(index)]") }
      return (parts[0], parts[1])
    }
  }

  /// The model of Llama's class, which always has byte fallback and no unknown token.
  func llamaModel(_ vocabulary: Vocabulary) throws -> BPEModel {
    try BPEModel(
      vocabulary: vocabulary, merges: merges(root["model"] ?? .null),
      units: .scalars(byteFallback: true, unknown: nil, fusesUnknown: true), ignoresMerges: false,
      at: "\(path), model.merges")
  }

  // MARK: Decoder

  func decoder() throws -> any TokenDecoder {
    guard let (type, section) = try type(of: "decoder") else { return SpacedDecoder() }
    return SteppedDecoder(steps: try decoderSteps(type, section, in: "decoder"))
  }

  private func decoderSteps(_ type: String, _ section: OrderedJSON, in place: String) throws -> [any DecoderStep] {
    guard type == "Sequence" else { return [try decoderStep(section, in: place)] }
    return try (section["decoders"]?.array ?? []).flatMap { part in
      try decoderSteps(self.type(of: part, in: "\(place).decoders"), part, in: "\(place).decoders")
    }
  }

  private func decoderStep(_ section: OrderedJSON, in place: String) throws -> any DecoderStep {
    let type = try type(of: section, in: place)
    func text(_ value: OrderedJSON?, _ key: String) throws -> String {
      guard let text = value?.string, !text.isEmpty else { throw refusal("\(type) has no \(key)", in: place) }
      return text
    }
    func scalar(_ value: OrderedJSON?, _ key: String) throws -> Unicode.Scalar {
      try text(value, key).unicodeScalars.first ?? " "
    }
    switch type {
    case "ByteLevel": return ByteLevelDecoder()
    case "ByteFallback": return ByteFallbackDecoder()
    case "Fuse": return FuseDecoder()
    case "Replace":
      return ReplaceDecoder(
        pattern: try pattern(section, in: place), replacement: Array((section["content"]?.string ?? "").utf8))
    case "WordPiece":
      return WordPieceDecoder(
        prefix: section["prefix"]?.string ?? "##", cleansUp: section["cleanup"]?.bool ?? true)
    case "BPEDecoder": return SuffixDecoder(suffix: try text(section["suffix"] ?? .string("</w>"), "suffix"))
    case "Strip":
      return StripDecoder(
        content: try scalar(section["content"], "content"), start: max(0, section["start"]?.int ?? 0),
        stop: max(0, section["stop"]?.int ?? 0))
    case "Metaspace":
      return MetaspaceDecoder(
        mark: try scalar(section["replacement"] ?? .string(MetaspaceMark.text), "replacement"),
        dropsFirst: section["prepend_scheme"]?.string != "never" && section["add_prefix_space"]?.bool != false)
    default:
      throw unsupported(
        type, in: place,
        known: "WordPiece, BPEDecoder, ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace and Sequence")
    }
  }
}

// Llama's class builds these itself; only the vocabulary and the template come from the file.
extension MetaspacePreTokenizer {
  init(llama settings: TokenizerSettings) {
    let prepend: Prepend = settings.prefixSpace ?? true ? (settings.isLegacy ? .always : .first) : .never
    self.init(mark: MetaspaceMark.bytes, prepend: prepend, splits: false)
  }
}

extension SteppedDecoder {
  init(llama settings: TokenizerSettings) {
    let replace = ReplaceDecoder(pattern: TextPattern(text: MetaspaceMark.text), replacement: [0x20])
    let steps: [any DecoderStep] = [replace, ByteFallbackDecoder(), FuseDecoder()]
    let strip: [any DecoderStep] = settings.prefixSpace ?? true ? [StripDecoder(content: " ", start: 1, stop: 0)] : []
    self.init(steps: steps + strip)
  }
}
