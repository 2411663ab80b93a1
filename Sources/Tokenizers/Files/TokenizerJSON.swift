import Platform

/// The `tokenizer.json` format of Hugging Face: each section becomes one part of the pipeline.
struct TokenizerJSON {
  let root: OrderedJSON
  let path: String
  /// Whether errors name the section of the file.
  private let namesSections: Bool

  /// Sections that are made of another file, which `path` names.
  init(root: OrderedJSON, path: String, namesSections: Bool) {
    self.root = root
    self.path = path
    self.namesSections = namesSections
  }

  init(path: String) throws {
    self.path = path
    namesSections = true
    root = try OrderedJSON(contentsOf: path)
    if root.members == nil { throw refusal("is not a JSON object") }
  }

  func refusal(
    _ what: String, in section: String? = nil, remedy: String = "download the file again from the model's source"
  ) -> RetortError {
    RetortError(.input, what, at: place(section), remedy: remedy)
  }

  func place(_ section: String?) -> String { section.flatMap { namesSections ? "\(path), \($0)" : nil } ?? path }

  func unsupported(_ type: String, in section: String, known: String) -> RetortError {
    refusal(
      "\(quoted(type)) is not supported here", in: section,
      remedy: "this version supports \(known); use a model with such a tokenizer, or pre-tokenised data")
  }

  /// - Parameter settings: from the files beside it; nil for the file alone.
  func tokenizer(settings: TokenizerSettings? = nil) throws -> any Tokenizer {
    // The padding section is ignored: Retort never pads. Of the truncation section only the side counts, since the
    // caller gives the length.
    var own = try addedTokens()
    let vocabulary = try vocabulary()
    try check(own, against: vocabulary, at: place("added_tokens"))
    let isLlama = try settings?.className == "LlamaTokenizer" && modelType == "BPE" && !isByteLevel()
    if let settings, settings.replacesAddedTokens, settings.className != "LlamaTokenizer" || isLlama { own = [] }
    own = (settings ?? .none).addedTokens(vocabulary, after: own)
    let limit = max(vocabulary.size, own.map { Int($0.id) + 1 }.max() ?? 0)
    let left = try settings?.truncatesLeft ?? truncatesLeft()
    if let settings, isLlama {
      return PipelineTokenizer(
        addedTokens: own, normalizer: nil, preTokenizer: MetaspacePreTokenizer(llama: settings),
        model: try llamaModel(vocabulary), postProcessor: try postProcessor(limit: limit, own, vocabulary, settings),
        decoder: SteppedDecoder(llama: settings), truncatesLeft: left, splitsSpecial: settings.splitsSpecial)
    }
    if let settings, let builder = settings.sentencePieceClass, modelType == "Unigram" {
      let parts = ClassParts(vocabulary: vocabulary, scores: try scores(), map: try characterMap(), path: path)
      return try parts.tokenizer(builder, own, settings, truncatesLeft: left)
    }
    let buildsBytes = ["GPT2Tokenizer", "RobertaTokenizer"].contains(settings?.className) && modelType == "BPE"
    let prefixSpace = buildsBytes ? settings?.prefixSpace ?? false : nil
    var tokenizer = PipelineTokenizer(
      addedTokens: own, normalizer: try normalizer(settings ?? .none),
      preTokenizer: try preTokenizer(prefixSpace: prefixSpace), model: try model(vocabulary, settings),
      postProcessor: try postProcessor(limit: limit, own, vocabulary, settings), decoder: try decoder(),
      truncatesLeft: left, splitsSpecial: settings?.splitsSpecial ?? false)
    tokenizer.remarks = settings.flatMap(classRemark).map { [$0] } ?? []
    return tokenizer
  }

  /// The tokens around a text. BERT's class uses those that the files beside this one name instead of the template's,
  /// and the usual ones without a template; RoBERTa's and MPNet's classes always have their own.
  private func postProcessor(
    limit: Int, _ added: [AddedToken], _ vocabulary: Vocabulary, _ settings: TokenizerSettings?
  ) throws -> any PostProcessor {
    guard let settings else { return try postProcessor(limit: limit) }
    func id(_ token: String) -> Int32? { specialTokenID(token, added, vocabulary) }
    let isMPNet = settings.className == "MPNetTokenizer" && modelType == "WordPiece"
    if isMPNet || settings.className == "RobertaTokenizer" && modelType == "BPE" {
      return try settings.robertaTemplate { token, role in
        if let id = id(token) { return id }
        throw refusal(
          "\(quoted(token)) is not in the vocabulary", in: "post_processor",
          remedy: "set \(role.rawValue) in tokenizer_config.json to the right token")
      }
    }
    // The template of a tokenizer.json comes before these settings.
    if !namesSections, let template = settings.explicitTemplate(id) { return template }
    let template = try postProcessor(limit: limit)
    guard settings.className == "BertTokenizer", modelType == "WordPiece",
      settings.areBordersNamed || root["post_processor"]?.members == nil
    else { return template }
    guard let start = id(settings.classToken), let end = id(settings.separatorToken),
      template.specialTokens != [start, end]
    else { return template }
    return TemplatePostProcessor.bert(cls: start, sep: end)
  }

  private func truncatesLeft() throws -> Bool {
    guard let direction = root["truncation"]?["direction"] else { return false }
    guard let name = direction.string, ["Left", "Right"].contains(name) else {
      throw refusal("is neither Left nor Right", in: "truncation.direction")
    }
    return name == "Left"
  }

  // MARK: Model

  /// WordPiece, BPE or Unigram; old files do not name the type, and are BPE if they have merges.
  var modelType: String? {
    let model = root["model"]
    return model?["type"]?.string
      ?? (model?["merges"] != nil ? "BPE" : model?["vocab"]?.array != nil ? "Unigram" : "WordPiece")
  }

  private func vocabulary() throws -> Vocabulary {
    guard let model = root["model"], model.members != nil else {
      throw refusal("has no model section", remedy: "use a complete tokenizer.json with a model and its vocabulary")
    }
    guard let entries = model["vocab"] else { throw refusal("has no vocabulary", in: "model.vocab") }
    let type = modelType ?? ""
    guard ["WordPiece", "BPE", "Unigram"].contains(type) else {
      throw unsupported(type, in: "model.type", known: "WordPiece, BPE and Unigram")
    }
    if type == "Unigram" { return try unigramVocabulary(entries) }
    guard let members = entries.members else { throw refusal("is not an object of tokens and ids", in: "model.vocab") }
    var list: [(token: String, id: Int)] = []
    list.reserveCapacity(members.count)
    for (token, id) in members {
      guard let id = id.int else { throw refusal("the id of \(quoted(token)) is not an integer", in: "model.vocab") }
      list.append((token, id))
    }
    return try Vocabulary(list, at: place("model.vocab"))
  }

  private func model(_ vocabulary: Vocabulary, _ settings: TokenizerSettings?) throws -> any SubwordModel {
    let model = root["model"] ?? .null
    if modelType == "BPE" { return try bytePairs(model, vocabulary) }
    if modelType == "Unigram" { return try unigram(model, vocabulary) }
    // BERT's class uses the unknown token that the files beside this one name, if the vocabulary contains it.
    let isNamed = settings.map { $0.className == "BertTokenizer" && $0.isUnknownNamed } ?? false
    let named = isNamed ? settings?.unknownToken : nil
    return try wordPiece(model, vocabulary, unknown: named.flatMap { vocabulary.id(of: $0) == nil ? nil : $0 })
  }

  private func wordPiece(_ model: OrderedJSON, _ vocabulary: Vocabulary, unknown: String?) throws -> WordPieceModel {
    let length = model["max_input_chars_per_word"]?.int ?? 100
    guard length > 0 else { throw refusal("is \(length)", in: "model.max_input_chars_per_word") }
    return try WordPieceModel(
      vocabulary: vocabulary, unknownToken: unknown ?? model["unk_token"]?.string ?? "[UNK]",
      continuationPrefix: model["continuing_subword_prefix"]?.string ?? "##", maximumWordLength: length,
      at: "\(path), model.unk_token")
  }

  // MARK: Added tokens

  private func addedTokens() throws -> [AddedToken] {
    guard let section = root["added_tokens"] else { return [] }
    guard let list = section.array else { throw refusal("is not a list", in: "added_tokens") }
    return try list.enumerated().map { index, entry in
      let place = "added_tokens[\(index)]"
      guard let content = entry["content"]?.string, !content.isEmpty else { throw refusal("has no content", in: place) }
      guard let id = entry["id"]?.int, (0...Vocabulary.maximumID).contains(id) else {
        throw refusal("\(quoted(content)) has no id in 0...\(Vocabulary.maximumID)", in: place)
      }
      return AddedToken(id: Int32(id), content: content, flagsFrom: entry)
    }
  }

  // MARK: Other sections

  func type(of section: String) throws -> (type: String, OrderedJSON)? {
    guard let value = root[section] else { return nil }
    return (try type(of: value, in: section), value)
  }

  func type(of value: OrderedJSON, in section: String) throws -> String {
    guard let type = value["type"]?.string else { throw refusal("has no type", in: section) }
    return type
  }

  private func normalizer(_ overrides: TokenizerSettings) throws -> (any Normalizer)? {
    guard let (type, section) = try type(of: "normalizer") else { return nil }
    guard type == "BertNormalizer" else { return try normalizer(section, in: "normalizer") }
    let overrides = overrides.usesFileAlone ? .none : overrides
    return BERTNormalizer(
      cleansText: section["clean_text"]?.bool ?? true,
      separatesChinese: overrides.separatesChinese ?? section["handle_chinese_chars"]?.bool ?? true,
      stripsAccents: overrides.stripsAccents ?? section["strip_accents"]?.bool,
      lowercases: overrides.lowercases ?? section["lowercase"]?.bool ?? true)
  }

  private func postProcessor(limit: Int) throws -> TemplatePostProcessor {
    guard let section = root["post_processor"] else { return .plain }
    var trims: [OffsetTrim] = []
    var template = try postProcessor(section, limit: limit, in: "post_processor", &trims) ?? .plain
    template.trims = trims
    return template
  }

  /// nil for a processor that adds no tokens: byte-level processing only adjusts offsets. Adds such steps to `trims`.
  private func postProcessor(
    _ section: OrderedJSON, limit: Int, in place: String, _ trims: inout [OffsetTrim], isAfterTokens: Bool = false
  ) throws -> TemplatePostProcessor? {
    let type = try type(of: section, in: place)
    if ["ByteLevel", "RobertaProcessing"].contains(type), section["trim_offsets"]?.bool ?? true {
      let keepsFirst = section["add_prefix_space"]?.bool ?? true
      trims.append(OffsetTrim(keepsFirstSpace: keepsFirst, isAfterTokens: isAfterTokens))
    }
    func id(_ key: String) throws -> Int32 {
      try specialID(section[key]?.array?.last, limit: limit, in: "\(place).\(key)")
    }
    switch type {
    case "TemplateProcessing":
      let special = section["special_tokens"]
      return TemplatePostProcessor(
        single: try template("single", section, special, limit: limit, in: place),
        pair: try template("pair", section, special, limit: limit, in: place))
    case "BertProcessing": return try TemplatePostProcessor.bert(cls: id("cls"), sep: id("sep"))
    case "RobertaProcessing": return try TemplatePostProcessor.roberta(cls: id("cls"), sep: id("sep"))
    case "ByteLevel": return nil
    case "Sequence":
      var parts: [TemplatePostProcessor] = []
      for part in section["processors"]?.array ?? [] {
        let isAfterTokens = isAfterTokens || !parts.isEmpty
        let template = try postProcessor(
          part, limit: limit, in: "\(place).processors", &trims, isAfterTokens: isAfterTokens)
        if let template { parts.append(template) }
      }
      guard parts.count <= 1 else {
        throw refusal("has \(parts.count) processors that add tokens, which is not supported", in: place)
      }
      return parts.first
    default:
      throw unsupported(
        type, in: place, known: "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel and their Sequence")
    }
  }

  private func specialID(_ value: OrderedJSON?, limit: Int, in section: String) throws -> Int32 {
    guard let id = value?.int, id >= 0, id < limit else {
      throw refusal("a special token has no id below \(limit), the size of the vocabulary", in: section)
    }
    return Int32(id)
  }

  private func template(
    _ name: String, _ section: OrderedJSON, _ special: OrderedJSON?, limit: Int, in place: String
  ) throws -> [TemplatePostProcessor.Part] {
    let place = "\(place).\(name)"
    guard let list = section[name]?.array else { throw refusal("is not a list", in: place) }
    let parts = try list.map { entry -> TemplatePostProcessor.Part in
      guard let (kind, body) = entry.members?.first, let id = body["id"]?.string else {
        throw refusal("has a part that is neither SpecialToken nor Sequence", in: place)
      }
      let typeID = body["type_id"]?.int ?? 0
      guard (0...255).contains(typeID) else { throw refusal("has the type_id \(typeID)", in: place) }
      switch (kind, id) {
      case ("Sequence", "A"): return .first(typeID: Int32(typeID))
      case ("Sequence", "B"): return .second(typeID: Int32(typeID))
      case ("SpecialToken", _):
        guard let ids = special?[id]?["ids"]?.array else {
          throw refusal("\(quoted(id)) has no ids in special_tokens", in: place)
        }
        return .special(ids: try ids.map { try specialID($0, limit: limit, in: place) }, typeID: Int32(typeID))
      default: throw refusal("has the unknown part \(quoted(kind)) \(quoted(id))", in: place)
      }
    }
    try checkSequences(parts, isPair: name == "pair", in: place)
    return parts
  }

  /// Requires each text in the template, since one without a text would train on special tokens alone.
  private func checkSequences(_ parts: [TemplatePostProcessor.Part], isPair: Bool, in place: String) throws {
    var first = 0
    var second = 0
    for part in parts {
      if case .first = part { first += 1 }
      if case .second = part { second += 1 }
    }
    guard first == 1, second == (isPair ? 1 : 0) else {
      throw refusal(isPair ? "must have the sequences A and B once each" : "must have the sequence A once", in: place)
    }
  }
}

/// The id of a special token among the added tokens or in the vocabulary.
func specialTokenID(_ token: String, _ added: [AddedToken], _ vocabulary: Vocabulary) -> Int32? {
  added.first { $0.content.utf8.elementsEqual(token.utf8) }?.id ?? vocabulary.id(of: token)
}

extension AddedToken {
  /// Reads the flags of an entry of `added_tokens` or `added_tokens_decoder`; missing flags are false.
  init(id: Int32, content: String, flagsFrom entry: OrderedJSON) {
    func flag(_ key: String) -> Bool { entry[key]?.bool ?? false }
    self.init(
      id: id, content: content, isSpecial: flag("special"), singleWord: flag("single_word"),
      stripsLeft: flag("lstrip"), stripsRight: flag("rstrip"), normalized: flag("normalized"))
  }
}

/// Checks added tokens against each other and the vocabulary: an id has one token, a token has one id.
func check(_ tokens: [AddedToken], against vocabulary: Vocabulary, at location: String) throws {
  var contents: [Int32: String] = [:]
  for token in tokens {
    let other = contents.updateValue(token.content, forKey: token.id) ?? vocabulary.token(of: token.id)
    let known = vocabulary.id(of: token.content)
    if let other, !other.utf8.elementsEqual(token.content.utf8) {
      throw RetortError(
        .input, "id \(token.id) is both \(quoted(other)) and \(quoted(token.content))", at: location,
        remedy: "give each added token its own id, or the one that it has in the vocabulary")
    }
    if let known, known != token.id {
      throw RetortError(
        .input, "\(quoted(token.content)) has id \(token.id), but \(known) in the vocabulary", at: location,
        remedy: "give it the id of the vocabulary")
    }
  }
}
