import Platform

/// The settings of a tokenizer in `tokenizer_config.json` and the smaller files beside it; nil if no file sets them.
///
/// The rules are those of `AutoTokenizer`: which file is read, which one overrides another, and which class builds the
/// tokenizer.
struct TokenizerSettings {
  /// The class that builds the tokenizer, without "Fast"; nil if no file decides it.
  var className: String?
  /// The class that reads a vocabulary of two files, which the model type decides even without other files.
  private(set) var pairClassName: String?
  /// The class that reads a vocab.txt.
  private(set) var textClassName = "BertTokenizer"
  var lowercases: Bool?
  var stripsAccents: Bool?
  var separatesChinese: Bool?
  /// add_prefix_space.
  var prefixSpace: Bool?
  /// legacy: whether a mark is put before every part of a text instead of only before the first.
  private var legacy: Bool?
  /// `legacy` of Llama's class.
  var isLegacy: Bool { legacy ?? false }
  /// `legacy` of a SentencePiece model without a class of its own.
  var isLegacyModel: Bool { legacy ?? true }
  /// keep_accents of ALBERT's class.
  private(set) var keepsAccents = false
  /// extra_ids of T5's class: the number of tokens `<extra_id_…>`.
  private(set) var sentinelCount = 100
  /// add_bos_token and add_eos_token: whether the template is only bos_token, the text and eos_token.
  private(set) var addsBegin: Bool?
  private(set) var addsEnd: Bool?
  /// trim_offsets of RoBERTa's class: whether the offsets of a token leave out the space before it.
  private(set) var trimsOffsets = true
  /// Whether a text that is too long is cut at its beginning instead of its end.
  var truncatesLeft: Bool?
  /// split_special_tokens: whether a special token in a text is split like any other text.
  var splitsSpecial = false
  var unknownToken = "[UNK]"
  private(set) var isUnknownNamed = false
  /// Whether a file names the token before or after a text.
  private(set) var areBordersNamed = false
  var separatorToken = "[SEP]"
  var classToken = "[CLS]"
  var paddingToken = "[PAD]"
  var maskToken = "[MASK]"
  /// bos_token and eos_token, if the files name them.
  var beginToken: String?
  var endToken: String?
  /// The special tokens that the files name.
  private var roles: [TokenRole: String] = [:]
  /// Whether the files list special tokens without a role.
  private(set) var hasFurtherTokens = false
  /// Tokens with flags and ids, in the order in which they are added.
  private(set) var declaredTokens: [AddedToken] = []
  /// Special tokens by name, which are added unless another list has them.
  private(set) var namedTokens: [AddedToken] = []
  /// Their names, without those of model-specific roles.
  private var generalNames: [String] = []
  /// The default special tokens of a class, which are added if the vocabulary contains them.
  private var usualTokens: [String] {
    switch className {
    case "BertTokenizer": return [unknownToken, separatorToken, paddingToken, classToken, maskToken]
    case "GPT2Tokenizer":
      return isUnknownNamed && beginToken != nil && endToken != nil ? [] : ["<|endoftext|>"]
    case "LlamaTokenizer":
      return (isUnknownNamed ? [] : ["<unk>"]) + (beginToken == nil ? ["<s>"] : []) + (endToken == nil ? ["</s>"] : [])
    default:
      return usual(TokenizerClasses.usualRoles(className)) + (sentencePieceClass?.furtherTokens(self) ?? [])
    }
  }

  /// Whether a mask token that is given by its text alone includes the white space before it.
  private var masksTakeSpace: Bool { ["CamembertTokenizer", "MPNetTokenizer"].contains(className) }

  private func usual(_ tokens: [TokenRole: String]) -> [String] {
    TokenRole.allCases.compactMap { named($0) == nil ? tokens[$0] : nil }
  }

  private init() {}

  /// No settings.
  static let none = TokenizerSettings()

  /// Reads `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json` and `config.json`, if they exist.
  init(directory: String) throws {
    let configuration = try TokenizerSettings.object("tokenizer_config.json", in: directory)
    // A broken config.json is refused when the model is loaded.
    let model = try? TokenizerSettings.object("config.json", in: directory)
    let named = configuration?["tokenizer_class"]?.string ?? model?["tokenizer_class"]?.string
    let modelType = model?["model_type"]?.string
    className = TokenizerClasses.name(named, modelType: modelType, isConfigured: configuration != nil)
    pairClassName = TokenizerClasses.name(named, modelType: modelType, isConfigured: true)
    textClassName = TokenizerClasses.textName(named, modelType: modelType)
    lowercases = configuration?["do_lower_case"]?.bool
    stripsAccents = configuration?["strip_accents"]?.bool
    separatesChinese = configuration?["tokenize_chinese_chars"]?.bool
    prefixSpace = configuration?["add_prefix_space"]?.bool
    splitsSpecial = configuration?["split_special_tokens"]?.bool ?? false
    legacy = configuration?["legacy"]?.bool
    trimsOffsets = configuration?["trim_offsets"]?.bool ?? true
    keepsAccents = configuration?["keep_accents"]?.bool ?? false
    sentinelCount = min(max(0, configuration?["extra_ids"]?.int ?? sentinelCount), 10_000)
    addsBegin = configuration?["add_bos_token"]?.bool
    addsEnd = configuration?["add_eos_token"]?.bool
    let path = joinPath(directory, "tokenizer_config.json")
    if let side = configuration?["truncation_side"] {
      guard let side = side.string, ["left", "right"].contains(side) else {
        throw TokenizerSettings.damage("truncation_side is neither left nor right", at: path)
      }
      truncatesLeft = side == "left"
    }
    // A configuration that declares its added tokens makes the two older files obsolete.
    isComplete = configuration?["added_tokens_decoder"] != nil
    let map = isComplete ? nil : try TokenizerSettings.object("special_tokens_map.json", in: directory)
    readNames(configuration, map)
    try readDeclaredTokens(configuration, at: path)
    if !isComplete { try readAddedIDs(in: directory) }
  }

  /// Whether `tokenizer_config.json` lists the added tokens.
  private var isComplete = false

  /// The token of a role, if a file names it.
  func named(_ role: TokenRole) -> String? { roles[role] }

  /// Names a special token unless a file does.
  mutating func name(_ role: TokenRole, _ content: String) {
    if roles[role] != nil || content.isEmpty { return }
    roles[role] = content
    if role == .begin { beginToken = content }
    if role == .end { endToken = content }
    namedTokens.append(AddedToken(id: -1, content: content, isSpecial: true))
  }

  /// The tokens around a text in RoBERTa's class and MPNet's: those that a file names, else the class's own.
  ///
  /// - Parameter id: the id of a token that has a role; throws if there is none.
  func robertaTemplate(_ id: (_ token: String, _ role: TokenRole) throws -> Int32) throws -> TemplatePostProcessor {
    let usual = TokenizerClasses.usualRoles(className)
    func role(_ role: TokenRole) throws -> Int32 { try id(named(role) ?? usual[role] ?? "", role) }
    var template = try TemplatePostProcessor.roberta(cls: role(.start), sep: role(.separator))
    // MPNet's mask is found with the white space before it.
    let isMPNet = className == "MPNetTokenizer"
    if isMPNet || trimsOffsets { template.trims = [OffsetTrim(keepsFirstSpace: !isMPNet && prefixSpace ?? false)] }
    return template
  }

  /// Names the special tokens that the class has by itself, unless a file does.
  mutating func nameUsualRoles() {
    let usual = TokenizerClasses.usualRoles(className)
    for role in TokenRole.allCases { usual[role].map { name(role, $0) } }
  }

  /// Adds the control and user-defined pieces of a SentencePiece model unless the files list special tokens themselves.
  /// A piece with a role is special, whatever its kind.
  mutating func addPieces(_ tokens: [AddedToken], findsDeclaredInRawText: Bool = false) {
    if !hasFurtherTokens {
      namedTokens += tokens.filter { token in !roles.values.contains { $0.utf8.elementsEqual(token.content.utf8) } }
    }
    if findsDeclaredInRawText { for index in declaredTokens.indices { declaredTokens[index].normalized = false } }
  }

  /// Tokens with the names that `added_tokens_decoder` gives to their ids, unless another id has that name.
  func renamed(_ tokens: [String]) -> [String] {
    guard isComplete, !declaredTokens.isEmpty else { return tokens }
    let names = Dictionary(declaredTokens.map { (Int($0.id), $0.content) }) { $1 }
    let kept = Set(tokens.indices.filter { names[$0] == nil }.map { Array(tokens[$0].utf8) })
    return tokens.enumerated().map { id, token in
      names[id].flatMap { kept.contains(Array($0.utf8)) ? nil : $0 } ?? token
    }
  }

  /// The class, if it builds its own unigram pipeline.
  var sentencePieceClass: SentencePieceClass? { className.flatMap(SentencePieceClass.init) }

  /// Whether the added tokens of tokenizer.json are ignored: classes that build their own pipeline take those that the
  /// configuration lists.
  var replacesAddedTokens: Bool {
    let others = [
      "BertTokenizer", "GemmaTokenizer", "GPT2Tokenizer", "LlamaTokenizer", "MPNetTokenizer", "Qwen2Tokenizer",
      "RobertaTokenizer",
    ]
    return isComplete && (sentencePieceClass != nil || className.map(others.contains) == true)
  }

  /// Whether the class uses tokenizer.json unchanged.
  var usesFileAlone: Bool { className == TokenizerClasses.generic }

  private static func object(_ name: String, in directory: String) throws -> OrderedJSON? {
    let path = joinPath(directory, name)
    guard fileExists(path) else { return nil }
    let value = try OrderedJSON(contentsOf: path)
    guard value.members != nil else { throw damage("is not a JSON object", at: path) }
    return value
  }

  private static func damage(_ what: String, at location: String) -> RetortError {
    RetortError(.input, what, at: location, remedy: "download the file again from the model's source")
  }

  /// Reads the special tokens by role; the map overrides the configuration.
  private mutating func readNames(_ configuration: OrderedJSON?, _ map: OrderedJSON?) {
    var named: [AddedToken] = []
    /// A special token is written as its text or as an object with its flags.
    func token(_ value: OrderedJSON?) -> AddedToken? {
      guard let content = value?.string ?? value?["content"]?.string, !content.isEmpty else { return nil }
      var token = AddedToken(id: -1, content: content, flagsFrom: value ?? .null)
      token.isSpecial = true
      return token
    }
    // Tokens that the vocabulary lacks get their ids in this order.
    for role in TokenRole.allCases {
      let value = map?[role.rawValue] ?? configuration?[role.rawValue]
      guard var token = token(map?[role.rawValue]) ?? token(configuration?[role.rawValue]) else { continue }
      if role == .mask, value?.string != nil, masksTakeSpace { token.stripsLeft = true }
      named.append(token)
      roles[role] = token.content
    }
    beginToken = roles[.begin]
    endToken = roles[.end]
    isUnknownNamed = roles[.unknown] != nil
    unknownToken = roles[.unknown] ?? unknownToken
    separatorToken = roles[.separator] ?? separatorToken
    paddingToken = roles[.padding] ?? paddingToken
    classToken = roles[.start] ?? classToken
    areBordersNamed = roles[.separator] != nil || roles[.start] != nil
    maskToken = roles[.mask] ?? maskToken
    generalNames = named.map(\.content)
    // Model-specific roles, such as "image_token".
    for (key, value) in configuration?.members ?? [] where key.hasSuffix("_token") && TokenRole(rawValue: key) == nil {
      if value.string != nil, let token = token(value) { named.append(token) }
    }
    let keys = ["extra_special_tokens", "additional_special_tokens"]
    let lists = [configuration, map].lazy.flatMap { file in keys.map { file?[$0] } }
    func further(_ list: OrderedJSON) -> [OrderedJSON] { list.array ?? list.members?.map(\.value) ?? [] }
    if let list = lists.compactMap({ $0 }).first(where: { !further($0).isEmpty }) {
      let tokens = further(list).compactMap(token)
      named += tokens
      hasFurtherTokens = true
      if list.array != nil { generalNames += tokens.map(\.content) }
    }
    named += (configuration?["model_specific_special_tokens"]?.members ?? []).compactMap { token($0.value) }
    namedTokens = named
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
      declare(AddedToken(id: Int32(number), content: text, flagsFrom: entry))
    }
    declaredTokens.sort { $0.id < $1.id }
  }

  private mutating func readAddedIDs(in directory: String) throws {
    for (token, id) in try TokenizerSettings.object("added_tokens.json", in: directory)?.members ?? [] {
      guard let id = id.int, (0...Vocabulary.maximumID).contains(id), !token.isEmpty else {
        throw TokenizerSettings.damage(
          "the token \(quoted(token)) needs an id in 0...\(Vocabulary.maximumID)",
          at: joinPath(directory, "added_tokens.json"))
      }
      // A token that is special by name is matched in raw text.
      declare(AddedToken(id: Int32(id), content: token, normalized: !isNamed(token, inRoleOfOneModel: false)))
    }
    declaredTokens.sort { $0.id < $1.id }
  }

  /// Adds a declared token, which is also special if it is special by name.
  private mutating func declare(_ token: AddedToken) {
    var token = token
    if isNamed(token.content) { token.isSpecial = true }
    declaredTokens.append(token)
  }

  private func isNamed(_ content: String, inRoleOfOneModel: Bool = true) -> Bool {
    let names = inRoleOfOneModel ? namedTokens.map(\.content) : generalNames
    return names.contains { $0.utf8.elementsEqual(content.utf8) }
  }

  /// The added tokens of a tokenizer with this vocabulary: those of its own file, then those of these settings.
  func addedTokens(_ vocabulary: Vocabulary, after own: [AddedToken] = []) -> [AddedToken] {
    var list = AddedTokenList(vocabulary)
    for token in own + declaredTokens { list.add(token) }
    let known = list
    for token in namedTokens where !known.contains(token.content) { list.add(token) }
    // A mask or padding token that no file names and the vocabulary lacks is never needed.
    for content in usualTokens where !list.contains(content) && vocabulary.id(of: content) != nil {
      let takesSpace = masksTakeSpace && content == TokenizerClasses.usualRoles(className)[.mask]
      list.add(AddedToken(id: -1, content: content, isSpecial: true, stripsLeft: takesSpace))
    }
    return list.tokens
  }
}

/// Added tokens with the ids that the library gives them: a token of the vocabulary keeps its id; any other gets the
/// next id after the vocabulary and the earlier tokens, regardless of the id in a file.
struct AddedTokenList {
  private let vocabulary: Vocabulary
  private(set) var tokens: [AddedToken] = []
  private var indices: [[UInt8]: Int] = [:]
  private var largest: Int32 = -1

  init(_ vocabulary: Vocabulary) { self.vocabulary = vocabulary }

  func contains(_ content: String) -> Bool { indices[Array(content.utf8)] != nil }

  /// Adds a token; the flags of the later of two tokens with the same content count.
  mutating func add(_ token: AddedToken) {
    if token.content.isEmpty { return }
    var token = token
    let content = Array(token.content.utf8)
    if let index = indices[content] {
      token.id = tokens[index].id
      tokens[index] = token
      return
    }
    token.id = vocabulary.id(of: token.content) ?? max(Int32(vocabulary.count), largest + 1)
    largest = max(largest, token.id)
    indices[content] = tokens.count
    tokens.append(token)
  }
}
