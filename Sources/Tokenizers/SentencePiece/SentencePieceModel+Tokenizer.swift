import Platform

extension SentencePieceModel {
  /// The tokenizer that `AutoTokenizer` makes of this file for the class that the files beside it decide.
  ///
  /// - Throws: `.input` for a class that uses such a file in a way of its own.
  func tokenizer(settings: TokenizerSettings) throws -> any Tokenizer {
    if let builder = settings.sentencePieceClass { return try classTokenizer(builder, settings) }
    switch settings.className {
    case "GemmaTokenizer": return try gemmaTokenizer(settings)
    case "LlamaTokenizer": return try llamaTokenizer(settings)
    case nil, TokenizerClasses.generic: return try genericTokenizer(settings)
    case let name?:
      throw refusal(
        "\(name) is not supported for a SentencePiece model",
        remedy: "this version supports AlbertTokenizer, CamembertTokenizer, GemmaTokenizer, LlamaTokenizer, "
          + "PreTrainedTokenizerFast, T5Tokenizer and XLMRobertaTokenizer; otherwise save the tokenizer with "
          + "transformers' save_pretrained, which writes tokenizer.json")
    }
  }

  private func vocabulary(_ tokens: [String]) throws -> Vocabulary {
    try Vocabulary(tokens.enumerated().map { ($1, $0) }, at: path)
  }

  private func classTokenizer(
    _ builder: SentencePieceClass, _ settings: TokenizerSettings
  ) throws -> PipelineTokenizer {
    var settings = settings
    settings.addPieces(addedTokens)
    let entries = builder.entries(pieces, settings)
    let (vocabulary, scores) = try unigramVocabulary(entries.map(\.token), entries.map(\.score))
    let parts = ClassParts(vocabulary: vocabulary, scores: scores, map: characterMap, path: path)
    return try parts.tokenizer(
      builder, settings.addedTokens(vocabulary), settings, truncatesLeft: settings.truncatesLeft ?? false)
  }

  /// The last of several equal tokens counts, as in the library.
  private func unigramVocabulary(_ tokens: [String], _ scores: [Double]) throws -> (Vocabulary, [Double]) {
    var last: [[UInt8]: Int] = [:]
    for (id, token) in tokens.enumerated() { last[Array(token.utf8)] = id }
    let entries = tokens.enumerated().filter { last[Array($1.utf8)] == $0 }.map { (token: $1, id: $0) }
    let vocabulary = try Vocabulary(entries, count: tokens.count, at: path)
    return (vocabulary, Array(scores.prefix(vocabulary.size)))
  }

  private func template(
    _ settings: TokenizerSettings, _ added: [AddedToken], _ vocabulary: Vocabulary
  ) -> TemplatePostProcessor {
    settings.explicitTemplate { specialTokenID($0, added, vocabulary) } ?? .plain
  }

  private func llamaTokenizer(_ settings: TokenizerSettings) throws -> PipelineTokenizer {
    var settings = settings
    settings.addPieces(addedTokens)
    return try pairTokenizer(
      settings, unknown: nil, normalizer: nil, MetaspacePreTokenizer(llama: settings), SteppedDecoder(llama: settings))
  }

  /// Llama's pairs without a mark before the text; the text is one word, with marks for its spaces.
  private func gemmaTokenizer(_ settings: TokenizerSettings) throws -> PipelineTokenizer {
    var settings = settings
    settings.nameUsualRoles()
    settings.addPieces(addedTokens)
    let marks = ReplaceNormalizer(pattern: TextPattern(text: " "), replacement: MetaspaceMark.bytes)
    let steps: [any DecoderStep] = [
      ReplaceDecoder(pattern: TextPattern(text: MetaspaceMark.text), replacement: [0x20]), ByteFallbackDecoder(),
      FuseDecoder(),
    ]
    return try pairTokenizer(
      settings, unknown: settings.named(.unknown), normalizer: marks, nil, SteppedDecoder(steps: steps))
  }

  /// A class with all pairs of tokens as merges.
  private func pairTokenizer(
    _ settings: TokenizerSettings, unknown: String?, normalizer: (any Normalizer)?, _ preTokenizer: (any PreTokenizer)?,
    _ decoder: SteppedDecoder
  ) throws -> PipelineTokenizer {
    let vocabulary = try vocabulary(pieces.map(\.text))
    let added = settings.addedTokens(vocabulary)
    return PipelineTokenizer(
      addedTokens: added, normalizer: normalizer, preTokenizer: preTokenizer,
      model: try BPEModel(
        vocabulary: vocabulary, merges: merges(vocabulary),
        units: .scalars(byteFallback: true, unknown: unknown.flatMap(vocabulary.id), fusesUnknown: true),
        ignoresMerges: false, at: path),
      postProcessor: template(settings, added, vocabulary), decoder: decoder,
      truncatesLeft: settings.truncatesLeft ?? false, splitsSpecial: settings.splitsSpecial)
  }

  private func genericTokenizer(_ settings: TokenizerSettings) throws -> PipelineTokenizer {
    var settings = settings
    let names = type == 1 ? pieces.map(\.text) : settings.renamed(pieces.map(\.text))
    let vocabulary: Vocabulary
    let model: any SubwordModel
    switch type {
    case 1:
      let (tokens, scores) = try unigramVocabulary(names, pieces.map(\.score))
      vocabulary = tokens
      model = UnigramModel(
        vocabulary: vocabulary, scores: scores, unknown: Int32(unknownID), byteFallback: byteFallback)
    case 2:
      vocabulary = try self.vocabulary(names)
      model = try BPEModel(
        vocabulary: vocabulary, merges: mergesByScore(names, vocabulary),
        units: .scalars(byteFallback: byteFallback, unknown: vocabulary.id(of: unknownPiece), fusesUnknown: true),
        ignoresMerges: !userDefined.isEmpty, at: path)
    default:
      throw refusal(
        "is a model of \(type == 3 ? "words" : type == 4 ? "characters" : "type \(type)"), which is not supported",
        remedy: "use a model with unigram or byte pair encoding")
    }
    let defined = Set(userDefined)
    settings.addPieces(addedTokens.filter { !defined.contains($0.content) }, findsDeclaredInRawText: prependsMark)
    if beginID >= 0 { settings.name(.begin, beginPiece) }
    if endID >= 0 { settings.name(.end, endPiece) }
    if unknownID >= 0 { settings.name(.unknown, unknownPiece) }
    let added = settings.addedTokens(vocabulary)
    return PipelineTokenizer(
      addedTokens: added, normalizer: normalizer(settings), preTokenizer: preTokenizer(settings), model: model,
      postProcessor: template(settings, added, vocabulary), decoder: decoder,
      truncatesLeft: settings.truncatesLeft ?? false, splitsSpecial: settings.splitsSpecial)
  }

  private func normalizer(_ settings: TokenizerSettings) -> any Normalizer {
    let spaces = SpaceNormalizer(
      removesExtra: removesExtraSpaces, escapes: escapesSpaces,
      doublesFirstMark: prependsMark && settings.isLegacyModel)
    guard let characterMap else { return spaces }
    return NormalizerSequence(parts: [PrecompiledNormalizer(characterMap), spaces])
  }

  private func preTokenizer(_ settings: TokenizerSettings) -> (any PreTokenizer)? {
    var parts: [any PreTokenizer] = []
    if prependsMark {
      parts.append(
        MetaspacePreTokenizer(
          mark: MetaspaceMark.bytes, prepend: settings.isLegacyModel ? .always : .first, splits: false))
    }
    if !userDefined.isEmpty { parts.append(TextSplitter(userDefined)) }
    return parts.count > 1 ? PreTokenizerSequence(parts: parts) : parts.first
  }

  private var decoder: SteppedDecoder {
    var steps: [any DecoderStep] = [
      ReplaceDecoder(pattern: TextPattern(text: MetaspaceMark.text), replacement: [0x20])
    ]
    if byteFallback { steps.append(ByteFallbackDecoder()) }
    if prependsMark {
      steps += [FuseDecoder(), StripDecoder(content: " ", start: 1, stop: 0)] as [any DecoderStep]
    }
    return SteppedDecoder(steps: steps)
  }
}

extension TokenizerSettings {
  /// The template of `add_bos_token` and `add_eos_token`; nil if no file sets them. A tokenizer.json has its own, which
  /// these settings do not change.
  func explicitTemplate(_ id: (String) -> Int32?) -> TemplatePostProcessor? {
    if addsBegin == nil, addsEnd == nil { return nil }
    let usual: [TokenRole: String] =
      switch className {
      case "LlamaTokenizer": [.begin: "<s>", .end: "</s>"]
      case "GPT2Tokenizer": [.begin: "<|endoftext|>", .end: "<|endoftext|>"]
      default: [:]
      }
    func special(_ role: TokenRole, _ isAdded: Bool?) -> [Int32] {
      guard isAdded == true, let id = (named(role) ?? usual[role]).flatMap(id) else { return [] }
      return [id]
    }
    let (begin, end) = (special(.begin, addsBegin), special(.end, addsEnd))
    func around(_ text: TemplatePostProcessor.Part, _ typeID: Int32) -> [TemplatePostProcessor.Part] {
      [.special(ids: begin, typeID: typeID), text, .special(ids: end, typeID: typeID)].filter {
        $0 != .special(ids: [], typeID: typeID)
      }
    }
    let single = around(.first(typeID: 0), 0)
    return TemplatePostProcessor(single: single, pair: single + around(.second(typeID: 1), 1))
  }
}
