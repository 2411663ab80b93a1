import Platform

// The sections of tokenizer.json that byte-level and SentencePiece-style tokenizers have.
extension TokenizerJSON {
  // MARK: Model

  func bytePairs(_ model: OrderedJSON, _ vocabulary: Vocabulary) throws -> BPEModel {
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      if let affix = model[key]?.string, !affix.isEmpty {
        throw refusal("is \(quoted(affix)): words with such marks are not supported", in: "model.\(key)")
      }
    }
    if case .double(let dropout)? = model["dropout"], dropout != 0 {
      throw refusal("is \(dropout): the same text would become other tokens each time", in: "model.dropout")
    }
    let unknown = try model["unk_token"]?.string.map { token in
      guard let id = vocabulary.id(of: token) else {
        throw refusal("\(quoted(token)) is not in the vocabulary", in: "model.unk_token")
      }
      return id
    }
    let units: BPEModel.Units =
      try usesBytes()
      ? .bytes
      : .scalars(
        byteFallback: model["byte_fallback"]?.bool ?? false, unknown: unknown,
        fusesUnknown: model["fuse_unk"]?.bool ?? false)
    return try BPEModel(
      vocabulary: vocabulary, merges: merges(model), units: units, ignoresMerges: model["ignore_merges"]?.bool ?? false,
      at: "\(path), model.merges")
  }

  /// Pairs, written as two strings or as one with a space between the parts.
  private func merges(_ model: OrderedJSON) throws -> [(left: String, right: String)] {
    guard let list = model["merges"]?.array else { throw refusal("is no list of merges", in: "model.merges") }
    return try list.enumerated().map { index, entry in
      var parts = entry.array?.compactMap(\.string) ?? []
      if let line = entry.string {
        parts = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
      }
      guard parts.count == 2 else { throw refusal("is not a pair of tokens", in: "model.merges[\(index)]") }
      return (parts[0], parts[1])
    }
  }

  // MARK: Normalizer

  func normalizer(_ section: OrderedJSON, in place: String) throws -> any Normalizer {
    let type = try type(of: section, in: place)
    func bytes(_ key: String) throws -> [UInt8] {
      guard let text = section[key]?.string else { throw refusal("has no \(key)", in: place) }
      return Array(text.utf8)
    }
    switch type {
    case "Sequence":
      let parts = section["normalizers"]?.array ?? []
      return NormalizerSequence(parts: try parts.map { try normalizer($0, in: "\(place).normalizers") })
    case "Prepend": return PrependNormalizer(prefix: try bytes("prepend"))
    case "Replace":
      return ReplaceNormalizer(pattern: try pattern(section, in: place), replacement: try bytes("content"))
    default:
      if let form = UnicodeNormalizer.Form(rawValue: type) { return UnicodeNormalizer(form: form) }
      throw unsupported(type, in: place, known: "BertNormalizer, Prepend, Replace, NFC, NFD, NFKC, NFKD and Sequence")
    }
  }

  private func pattern(_ section: OrderedJSON, in place: String) throws -> ReplaceNormalizer.Pattern {
    if let text = section["pattern"]?["String"]?.string, !text.isEmpty { return .text(Array(text.utf8)) }
    guard let regex = section["pattern"]?["Regex"]?.string else { throw refusal("has no pattern", in: place) }
    guard let pattern = ReplaceNormalizer.Pattern(regex: regex) else {
      throw unsupported(regex, in: "\(place).pattern", known: "the patterns \"^ +| +$\" and \" {2,}\"")
    }
    return pattern
  }

  // MARK: Pre-tokenizer

  /// The pre-tokenizers of the file, those inside a sequence one by one.
  private func preTokenizers() throws -> [(type: String, section: OrderedJSON)] {
    guard let (type, section) = try type(of: "pre_tokenizer") else { return [] }
    guard type == "Sequence" else { return [(type, section)] }
    return try (section["pretokenizers"]?.array ?? []).map {
      (try self.type(of: $0, in: "pre_tokenizer.pretokenizers"), $0)
    }
  }

  /// Whether words reach the model as bytes.
  private func usesBytes() throws -> Bool { try preTokenizers().contains { $0.type == "ByteLevel" } }

  func preTokenizer() throws -> (any PreTokenizer)? {
    let parts = try preTokenizers()
    let place = "pre_tokenizer"
    switch parts.map(\.type) {
    case []: return nil
    case ["BertPreTokenizer"]: return BERTPreTokenizer()
    case ["Metaspace"]: return try metaspace(parts[0].section)
    case ["ByteLevel"], ["Split", "ByteLevel"]:
      let bytes = parts[parts.count - 1].section
      let isOwnPattern = bytes["use_regex"]?.bool ?? true
      if parts.count == 2, isOwnPattern { throw refusal("cuts words twice, which is not supported", in: place) }
      return ByteLevelPreTokenizer(
        pattern: parts.count == 2 ? try splitPattern(parts[0].section) : isOwnPattern ? .gpt2 : nil,
        prependsSpace: bytes["add_prefix_space"]?.bool ?? true)
    default:
      throw unsupported(
        parts.map(\.type).joined(separator: ", "), in: place,
        known: "BertPreTokenizer, Metaspace, ByteLevel, and Split with ByteLevel")
    }
  }

  private func splitPattern(_ section: OrderedJSON) throws -> SplitPattern {
    let place = "pre_tokenizer.pretokenizers[0]"
    guard section["behavior"]?.string == "Isolated", section["invert"]?.bool != true,
      let regex = section["pattern"]?["Regex"]?.string
    else { throw refusal("is not a regular expression whose matches are words of their own", in: place) }
    guard let pattern = SplitPattern(regex: regex) else {
      throw unsupported(regex, in: "\(place).pattern", known: "the patterns of GPT-2, Llama 3 and Qwen 2")
    }
    return pattern
  }

  private func metaspace(_ section: OrderedJSON) throws -> MetaspacePreTokenizer {
    let old: MetaspacePreTokenizer.Prepend = section["add_prefix_space"]?.bool ?? true ? .always : .never
    let prepend: MetaspacePreTokenizer.Prepend? =
      switch section["prepend_scheme"]?.string {
      case nil: old
      case "always": .always
      case "first": .first
      case "never": .never
      default: nil
      }
    guard let prepend else { throw refusal("is not always, first or never", in: "pre_tokenizer.prepend_scheme") }
    return MetaspacePreTokenizer(
      mark: Array((section["replacement"]?.string ?? MetaspaceMark.text).utf8), prepend: prepend,
      splits: section["split"]?.bool ?? true)
  }

  // MARK: Decoder

  func decoder() throws -> any TokenDecoder {
    guard let (type, section) = try type(of: "decoder") else { return SpacedDecoder() }
    if type == "WordPiece" {
      return WordPieceDecoder(
        prefix: section["prefix"]?.string ?? "##", cleansUp: section["cleanup"]?.bool ?? true)
    }
    let steps = type == "Sequence" ? section["decoders"]?.array ?? [] : [section]
    return SteppedDecoder(steps: try steps.map { try decoderStep($0, in: "decoder") })
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
        pattern: Array(try text(section["pattern"]?["String"], "pattern.String").utf8),
        replacement: Array((section["content"]?.string ?? "").utf8))
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
        type, in: place, known: "WordPiece, ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace and Sequence")
    }
  }
}
