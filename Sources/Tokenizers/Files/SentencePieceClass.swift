import Platform

/// A class of `transformers` that builds its own pipeline around a unigram vocabulary, from `tokenizer.json` or from a
/// SentencePiece model; of a file it uses the tokens, their scores and the compiled map of characters.
enum SentencePieceClass: String {
  case albert = "AlbertTokenizer"
  case camembert = "CamembertTokenizer"
  case t5 = "T5Tokenizer"
  case xlmRoberta = "XLMRobertaTokenizer"

  /// The special tokens of each role that no file names.
  var usualRoles: [TokenRole: String] {
    switch self {
    case .albert:
      [
        .begin: "[CLS]", .end: "[SEP]", .unknown: "<unk>", .separator: "[SEP]", .padding: "<pad>", .start: "[CLS]",
        .mask: "[MASK]",
      ]
    case .camembert, .xlmRoberta:
      [
        .begin: "<s>", .end: "</s>", .unknown: "<unk>", .separator: "</s>", .padding: "<pad>", .start: "<s>",
        .mask: "<mask>",
      ]
    case .t5: [.end: "</s>", .unknown: "<unk>", .padding: "<pad>"]
    }
  }

  /// The tokens that the class adds besides those with a role.
  func furtherTokens(_ settings: TokenizerSettings) -> [String] {
    switch self {
    case .albert, .xlmRoberta: []
    case .camembert: settings.hasFurtherTokens ? [] : ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"]
    case .t5: (0..<settings.sentinelCount).map { "<extra_id_\($0)>" }
    }
  }

  /// The pieces of a SentencePiece model in the order of the class's ids.
  func entries(_ pieces: [SentencePieceModel.Piece], _ settings: TokenizerSettings) -> [(token: String, score: Double)]
  {
    func name(_ role: TokenRole) -> String { settings.named(role) ?? usualRoles[role] ?? "" }
    let own = pieces.map { (token: $0.text, score: $0.score) }
    switch self {
    case .albert: return own
    case .camembert:
      let first = [
        ("<s>NOTUSED", 0.0), (name(.padding), 0), ("</s>NOTUSED", 0), (name(.unknown), 0), ("<unk>NOTUSED", -100),
      ]
      return first + own.dropFirst(1) + [(name(.mask), 0)]
    case .t5: return own + (0..<settings.sentinelCount).reversed().map { ("<extra_id_\($0)>", 0) }
    case .xlmRoberta:
      let first = [(name(.begin), 0.0), (name(.padding), 0), (name(.end), 0), (name(.unknown), 0)]
      return first + own.dropFirst(3) + [(name(.mask), 0)]
    }
  }

  /// The id of the unknown token; the class fixes it, whatever a file says.
  func unknownID(_ vocabulary: Vocabulary, _ settings: TokenizerSettings) -> Int32 {
    switch self {
    case .albert: 1
    case .camembert: vocabulary.id(of: settings.named(.unknown) ?? "<unk>") ?? 0
    case .t5: 2
    case .xlmRoberta: 3
    }
  }

  func normalizer(_ map: CharacterMap?, _ settings: TokenizerSettings) -> (any Normalizer)? {
    let compiled: [any Normalizer] = map.map { [PrecompiledNormalizer($0)] } ?? []
    guard self == .albert else { return compiled.first }
    func quotes(_ text: String) -> any Normalizer {
      ReplaceNormalizer(pattern: TextPattern(text: text), replacement: Array("\"".utf8))
    }
    var parts: [any Normalizer] = [quotes("``"), quotes("''")]
    if !settings.keepsAccents {
      parts += [UnicodeNormalizer(form: .nfkd), StripAccentsNormalizer()] as [any Normalizer]
    }
    if settings.lowercases ?? true { parts.append(LowercaseNormalizer()) }
    return NormalizerSequence(parts: parts + compiled)
  }

  private func prependsMark(_ settings: TokenizerSettings) -> Bool { self == .t5 || settings.prefixSpace ?? true }

  func preTokenizer(_ settings: TokenizerSettings) -> any PreTokenizer {
    SpacedMetaspace(
      metaspace: MetaspacePreTokenizer(
        mark: MetaspaceMark.bytes, prepend: prependsMark(settings) ? .always : .never, splits: true))
  }

  func decoder(_ settings: TokenizerSettings) -> any TokenDecoder {
    SteppedDecoder(steps: [
      MetaspaceDecoder(mark: MetaspaceMark.text.unicodeScalars.first ?? " ", dropsFirst: prependsMark(settings))
    ])
  }

  /// - Parameter id: the id of a special token; throws if there is none.
  func postProcessor(
    _ settings: TokenizerSettings, _ id: (String) throws -> Int32
  ) throws -> TemplatePostProcessor {
    func token(_ role: TokenRole) throws -> Int32 { try id(settings.named(role) ?? usualRoles[role] ?? "") }
    switch self {
    case .albert: return try .bert(cls: token(.start), sep: token(.separator))
    case .camembert, .xlmRoberta: return try .roberta(cls: token(.begin), sep: token(.end))
    case .t5:
      let end = TemplatePostProcessor.Part.special(ids: [try token(.end)], typeID: 0)
      return TemplatePostProcessor(
        single: [.first(typeID: 0), end], pair: [.first(typeID: 0), end, .second(typeID: 0), end])
    }
  }
}

/// The role of a special token, named as in `tokenizer_config.json`; in the order in which missing tokens are added.
enum TokenRole: String, CaseIterable {
  case begin = "bos_token"
  case end = "eos_token"
  case unknown = "unk_token"
  case separator = "sep_token"
  case padding = "pad_token"
  case start = "cls_token"
  case mask = "mask_token"
}
