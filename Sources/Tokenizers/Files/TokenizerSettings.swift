import Platform

/// What `tokenizer_config.json` and its smaller companions say about a BERT tokenizer; nil where they are silent.
struct TokenizerSettings {
  var lowercases: Bool?
  var stripsAccents: Bool?
  var separatesChinese: Bool?
  /// Whether the three settings above have no say over a tokenizer.json.
  var usesFileAlone = false
  var unknownToken = "[UNK]"
  var separatorToken = "[SEP]"
  var classToken = "[CLS]"
  var paddingToken = "[PAD]"
  var maskToken = "[MASK]"
  /// What stands before and behind a text, where the files name it.
  var beginToken: String?
  var endToken: String?
  /// More special tokens, by content.
  var furtherTokens: [String] = []
  /// Tokens with flags and an id of their own.
  var declaredTokens: [AddedToken] = []
  /// Ids of further tokens that are not in the vocabulary.
  var addedIDs: [(token: String, id: Int)] = []

  init() {}

  /// Reads what is there of `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`.
  init(directory: String) throws {
    let configuration = try TokenizerSettings.object("tokenizer_config.json", in: directory)
    let map = try TokenizerSettings.object("special_tokens_map.json", in: directory)
    // The generic classes of `transformers` build the tokenizer from tokenizer.json alone.
    usesFileAlone = ["PreTrainedTokenizerFast", "TokenizersBackend"].contains(configuration?["tokenizer_class"]?.string)
    lowercases = configuration?["do_lower_case"]?.bool
    stripsAccents = configuration?["strip_accents"]?.bool
    separatesChinese = configuration?["tokenize_chinese_chars"]?.bool
    readNames(configuration, map)
    try readDeclaredTokens(configuration, at: joinPath(directory, "tokenizer_config.json"))
    try readAddedIDs(in: directory)
  }

  private static func object(_ name: String, in directory: String) throws -> OrderedJSON? {
    let path = joinPath(directory, name)
    guard fileExists(path) else { return nil }
    let value = try OrderedJSON(contentsOf: path)
    guard value.members != nil else { throw damage("is not a JSON object", at: path) }
    return value
  }

  private static func damage(_ what: String, at location: String) -> RetortError {
    RetortError(.input, what, at: location, remedy: "take the file from the model's source again")
  }

  /// The special tokens by role; the configuration's name goes before the map's.
  private mutating func readNames(_ configuration: OrderedJSON?, _ map: OrderedJSON?) {
    /// A special token is written as its text or as an object with its flags.
    func content(_ value: OrderedJSON?) -> String? { value?.string ?? value?["content"]?.string }
    func name(_ key: String, else usual: String) -> String {
      guard let text = content(configuration?[key]) ?? content(map?[key]), !text.isEmpty else { return usual }
      return text
    }
    unknownToken = name("unk_token", else: unknownToken)
    separatorToken = name("sep_token", else: separatorToken)
    classToken = name("cls_token", else: classToken)
    paddingToken = name("pad_token", else: paddingToken)
    maskToken = name("mask_token", else: maskToken)
    beginToken = content(configuration?["bos_token"]) ?? content(map?["bos_token"])
    endToken = content(configuration?["eos_token"]) ?? content(map?["eos_token"])
    for key in ["additional_special_tokens", "extra_special_tokens"] {
      let list = configuration?[key]?.array ?? map?[key]?.array ?? []
      furtherTokens += list.compactMap(content).filter { !$0.isEmpty }
    }
  }

  private mutating func readDeclaredTokens(_ configuration: OrderedJSON?, at path: String) throws {
    for (id, entry) in configuration?["added_tokens_decoder"]?.members ?? [] {
      guard let number = Int(id), (0...Vocabulary.maximumID).contains(number),
        let text = entry["content"]?.string, !text.isEmpty
      else {
        throw TokenizerSettings.damage(
          "the entry \(quoted(id)) needs an id in 0...\(Vocabulary.maximumID) and a content",
          at: "\(path), added_tokens_decoder")
      }
      declaredTokens.append(AddedToken(id: Int32(number), content: text, flagsFrom: entry))
    }
  }

  private mutating func readAddedIDs(in directory: String) throws {
    for (token, id) in try TokenizerSettings.object("added_tokens.json", in: directory)?.members ?? [] {
      guard let id = id.int, (0...Vocabulary.maximumID).contains(id), !token.isEmpty else {
        throw TokenizerSettings.damage(
          "the token \(quoted(token)) needs an id in 0...\(Vocabulary.maximumID)",
          at: joinPath(directory, "added_tokens.json"))
      }
      addedIDs.append((token, id))
    }
  }

  /// The added tokens of a tokenizer with this vocabulary: declared ones first, then those known by name alone.
  func addedTokens(_ vocabulary: Vocabulary) -> [AddedToken] {
    var tokens = declaredTokens
    func isNew(_ content: String) -> Bool { !tokens.contains { $0.content.utf8.elementsEqual(content.utf8) } }
    let special = [unknownToken, separatorToken, paddingToken, classToken, maskToken] + furtherTokens
    for (content, id) in addedIDs where isNew(content) {
      let isSpecial = special.contains { $0.utf8.elementsEqual(content.utf8) }
      tokens.append(AddedToken(id: Int32(id), content: content, isSpecial: isSpecial, normalized: !isSpecial))
    }
    for content in special where isNew(content) {
      // A mask or padding token that no file gives an id is never needed here.
      guard let id = vocabulary.id(of: content) else { continue }
      tokens.append(AddedToken(id: id, content: content, isSpecial: true))
    }
    return tokens
  }
}
