import Platform

// The sections of tokenizer.json that rewrite text and split it into words.
extension TokenizerJSON {
  // MARK: Normalizer

  func normalizer(_ section: OrderedJSON, in place: String) throws -> any Normalizer {
    let type = try type(of: section, in: place)
    func flag(_ key: String, else usual: Bool) -> Bool { section[key]?.bool ?? usual }
    switch type {
    case "Sequence":
      let parts = section["normalizers"]?.array ?? []
      return NormalizerSequence(
        parts: try parts.map { try normalizer($0, in: "\(place).normalizers") })
    case "BertNormalizer":
      return BERTNormalizer(
        cleansText: flag("clean_text", else: true), separatesChinese: flag("handle_chinese_chars", else: true),
        stripsAccents: section["strip_accents"]?.bool, lowercases: flag("lowercase", else: true))
    case "Lowercase": return LowercaseNormalizer()
    case "Strip": return StripNormalizer(left: flag("strip_left", else: true), right: flag("strip_right", else: true))
    case "StripAccents": return StripAccentsNormalizer()
    case "Prepend":
      guard let prefix = section["prepend"]?.string else { throw refusal("has no prepend", in: place) }
      return PrependNormalizer(prefix: Array(prefix.utf8))
    case "Replace":
      guard let content = section["content"]?.string else { throw refusal("has no content", in: place) }
      return ReplaceNormalizer(pattern: try pattern(section, in: place), replacement: Array(content.utf8))
    case "Nmt": return NMTNormalizer()
    case "Precompiled":
      guard let map = section["precompiled_charsmap"]?.string else {
        throw refusal("has no precompiled_charsmap", in: place)
      }
      return PrecompiledNormalizer(try CharacterMap(base64: map, at: "\(path), \(place).precompiled_charsmap"))
    default:
      if let form = UnicodeNormalizer.Form(rawValue: type) { return UnicodeNormalizer(form: form) }
      throw unsupported(
        type, in: place,
        known: "BertNormalizer, Lowercase, Strip, StripAccents, Prepend, Precompiled, Replace, Nmt, NFC, NFD, NFKC, "
          + "NFKD and Sequence")
    }
  }

  /// `{"String": …}` or `{"Regex": …}`.
  func pattern(_ section: OrderedJSON, in place: String) throws -> TextPattern {
    if let text = section["pattern"]?["String"]?.string, !text.isEmpty { return TextPattern(text: text) }
    guard let regex = section["pattern"]?["Regex"]?.string else { throw refusal("has no pattern", in: place) }
    guard let pattern = TextPattern(regex: regex) else {
      throw unsupported(
        regex, in: "\(place).pattern",
        known: "fixed texts and lists of them, \"^ +| +$\" and runs of one class (\"\\s+\", \" {2,}\")")
    }
    return pattern
  }

  // MARK: Pre-tokenizer

  /// The pre-tokenizers of the file in order, with sequences flattened.
  private func preTokenizers() throws -> [(type: String, section: OrderedJSON, place: String)] {
    typealias Part = (type: String, section: OrderedJSON, place: String)
    func parts(_ section: OrderedJSON, _ place: String) throws -> [Part] {
      let type = try type(of: section, in: place)
      guard type == "Sequence" else { return [(type, section, place)] }
      return try (section["pretokenizers"]?.array ?? []).enumerated().flatMap { index, part in
        try parts(part, "\(place).pretokenizers[\(index)]")
      }
    }
    guard let section = root["pre_tokenizer"] else { return [] }
    return try parts(section, "pre_tokenizer")
  }

  /// Whether words reach the model as bytes.
  func usesBytes() throws -> Bool { try preTokenizers().contains { $0.type == "ByteLevel" } }

  /// Whether the file has a byte-level pre-tokenizer or decoder.
  func isByteLevel() throws -> Bool {
    func names(_ section: OrderedJSON?, _ list: String) -> Bool {
      section?["type"]?.string == "ByteLevel" || (section?[list]?.array ?? []).contains { names($0, list) }
    }
    return names(root["pre_tokenizer"], "pretokenizers") || names(root["decoder"], "decoders")
  }

  /// - Parameter prefixSpace: `add_prefix_space` of `tokenizer_config.json`, for a byte-level tokenizer.
  func preTokenizer(prefixSpace: Bool? = nil) throws -> (any PreTokenizer)? {
    let parts = try preTokenizers()
    if let bytes = parts.firstIndex(where: { $0.type == "ByteLevel" }) {
      guard bytes == parts.count - 1 else {
        throw refusal("has \(parts[bytes + 1].type) after ByteLevel, which is not supported", in: parts[bytes].place)
      }
      // The library splits text that is already mapped to the byte alphabet; splitting the text itself is equivalent.
      if root["model"]?["type"]?.string == "WordPiece" {
        throw unsupported("ByteLevel", in: parts[bytes].place, known: "byte-level words for BPE alone")
      }
      let section = parts[bytes].section
      let prepends = prefixSpace ?? section["add_prefix_space"]?.bool ?? true
      let pattern: SplitPattern? = section["use_regex"]?.bool ?? true ? .gpt2 : nil
      // A known pattern needs only one scan.
      if parts.count == 2, pattern == nil, !prepends, let known = knownPattern(parts[0].type, parts[0].section) {
        return ByteLevelPreTokenizer(pattern: known, prependsSpace: false)
      }
      let last = ByteLevelPreTokenizer(pattern: pattern, prependsSpace: prepends)
      if parts.count == 1 { return last }
      return PreTokenizerSequence(
        parts: try parts.dropLast().map { try preTokenizer($0.type, $0.section, in: $0.place) } + [last])
    }
    if parts.map(\.type) == ["WhitespaceSplit", "Metaspace"] {
      return SpacedMetaspace(metaspace: try metaspace(parts[1].section, in: parts[1].place))
    }
    let pieces = try parts.map { try preTokenizer($0.type, $0.section, in: $0.place) }
    return pieces.count > 1 ? PreTokenizerSequence(parts: pieces) : pieces.first
  }

  private func knownPattern(_ type: String, _ section: OrderedJSON) -> SplitPattern? {
    guard type == "Split", section["behavior"]?.string == "Isolated" else { return nil }
    guard section["invert"]?.bool != true else { return nil }
    return section["pattern"]?["Regex"]?.string.flatMap { SplitPattern(regex: $0) }
  }

  private func preTokenizer(_ type: String, _ section: OrderedJSON, in place: String) throws -> any PreTokenizer {
    switch type {
    case "BertPreTokenizer": return BERTPreTokenizer()
    case "Metaspace": return try metaspace(section, in: place)
    case "Whitespace": return WordPunctuationSplitter()
    case "WhitespaceSplit": return CharacterSplitter(.whiteSpace, .removed)
    case "Digits":
      let isOneByOne = section["individual_digits"]?.bool ?? false
      return CharacterSplitter(.digits, isOneByOne ? .isolated : .contiguous)
    case "Punctuation": return CharacterSplitter(.punctuation, try behavior(section, else: .isolated, in: place))
    case "CharDelimiterSplit":
      guard let text = section["delimiter"]?.string?.unicodeScalars, let delimiter = text.first, text.count == 1 else {
        throw refusal("has no delimiter of one character", in: place)
      }
      return CharacterSplitter(.character(delimiter), .removed)
    case "Split":
      let behavior = try behavior(section, else: nil, in: place)
      let invert = section["invert"]?.bool ?? false
      if let known = section["pattern"]?["Regex"]?.string.flatMap({ SplitPattern(regex: $0) }) {
        if behavior == .isolated { return known }
        return KnownPatternSplitter(pattern: known, behavior: behavior, invert: invert)
      }
      if let regex = section["pattern"]?["Regex"]?.string, TextPattern(regex: regex) == nil {
        throw unsupported(
          regex, in: "\(place).pattern",
          known: "the patterns of GPT-2, Llama 3 and Qwen 2, fixed texts, and runs of one class (\"\\s+\")")
      }
      return PatternSplitter(pattern: try pattern(section, in: place), behavior: behavior, invert: invert)
    default:
      throw unsupported(
        type, in: place,
        known: "BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, Metaspace, Punctuation, Split, Whitespace, "
          + "WhitespaceSplit and Sequence")
    }
  }

  private func behavior(
    _ section: OrderedJSON, else usual: DelimiterBehavior?, in place: String
  ) throws -> DelimiterBehavior {
    guard let text = section["behavior"]?.string else {
      if let usual { return usual }
      throw refusal("has no behavior", in: place)
    }
    guard let behavior = DelimiterBehavior(rawValue: text) else {
      throw unsupported(
        text, in: "\(place).behavior",
        known: "Removed, Isolated, MergedWithPrevious, MergedWithNext and Contiguous")
    }
    return behavior
  }

  private func metaspace(_ section: OrderedJSON, in place: String) throws -> MetaspacePreTokenizer {
    let old: MetaspacePreTokenizer.Prepend = section["add_prefix_space"]?.bool ?? true ? .always : .never
    let prepend: MetaspacePreTokenizer.Prepend? =
      switch section["prepend_scheme"]?.string {
      case nil: old
      case "always": .always
      case "first": .first
      case "never": .never
      default: nil
      }
    guard let prepend else { throw refusal("is not always, first or never", in: "\(place).prepend_scheme") }
    let mark = section["replacement"]?.string ?? MetaspaceMark.text
    guard mark.unicodeScalars.count == 1 else { throw refusal("is not one character", in: "\(place).replacement") }
    return MetaspacePreTokenizer(mark: Array(mark.utf8), prepend: prepend, splits: section["split"]?.bool ?? true)
  }
}
