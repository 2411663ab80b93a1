import Platform

/// The names of all tokenizer files in a Hugging Face model directory.
private let tokenizerFileNames = [
  "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json",
  "merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "chat_template.jinja",
  "chat_template.json",
]

/// The names of SentencePiece models.
let sentencePieceFileNames = ["tokenizer.model", "sentencepiece.bpe.model", "spiece.model"]

/// Whether a file of this name in a model directory belongs to its tokenizer.
package func isTokenizerFile(_ name: String) -> Bool { tokenizerFileNames.contains(name) }

/// The names of the files in a model directory that belong to its tokenizer, for copying them to another directory.
package func tokenizerFiles(inModelDirectory directory: String) -> [String] {
  tokenizerFileNames.filter { name in
    let path = joinPath(directory, name)
    return fileExists(path) && !isDirectory(path)
  }
}

/// Loads the tokenizer of a model directory from `tokenizer.json`, else a SentencePiece model, else `vocab.txt`, else
/// `vocab.json` and `merges.txt`; nil without a tokenizer file.
///
/// `do_lower_case`, `strip_accents` and `tokenize_chinese_chars` of `tokenizer_config.json` override `tokenizer.json`,
/// as in `transformers`, unless `tokenizer_class` names one of its generic classes; `add_prefix_space` overrides it for
/// the classes of GPT-2 and Llama, `truncation_side` for all. Special and added tokens in the files beside
/// `tokenizer.json` are added to its own.
///
/// - Throws: `.input` with file, section and remedy for a broken file and for an unsupported kind of tokenizer.
package func loadTokenizer(fromModelDirectory directory: String) throws -> (any Tokenizer)? {
  let files = tokenizerFiles(inModelDirectory: directory)
  if files.contains("tokenizer.json") {
    let settings = try TokenizerSettings(directory: directory)
    return try TokenizerJSON(path: joinPath(directory, "tokenizer.json")).tokenizer(settings: settings)
  }
  if let model = sentencePieceFileNames.first(where: files.contains) {
    let settings = try TokenizerSettings(directory: directory)
    return try SentencePieceModel(path: joinPath(directory, model)).tokenizer(settings: settings)
  }
  if files.contains("vocab.txt") { return try loadTokenizer(file: joinPath(directory, "vocab.txt")) }
  if VocabularyPair.isAlone(among: files) {
    return try VocabularyPair(directory: directory, settings: TokenizerSettings(directory: directory)).tokenizer()
  }
  guard let found = files.first(where: { !$0.hasPrefix("chat_template") }) else { return nil }
  throw RetortError(
    .input,
    "has \(found), but no tokenizer.json, SentencePiece model or vocab.txt, and not both vocab.json and merges.txt",
    at: directory,
    remedy: "save the tokenizer with transformers' save_pretrained, which writes tokenizer.json")
}

/// Loads the tokenizer in one file: `tokenizer.json`, or `vocab.txt` with the settings in the files beside it.
///
/// For `tokenizer.json` the files beside it are ignored.
///
/// - Throws: `.input` with file, section and remedy for a broken file and for an unsupported kind of tokenizer.
package func loadTokenizer(file path: String) throws -> any Tokenizer {
  if path.hasSuffix(".json") { return try TokenizerJSON(path: path).tokenizer() }
  if path.hasSuffix(".txt") {
    let directory = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    let settings = try TokenizerSettings(directory: directory.isEmpty ? "/" : directory)
    return try VocabularyText(path: path, settings: settings).tokenizer()
  }
  throw RetortError(
    .input, "is neither a .json nor a .txt file", at: path, remedy: "give a tokenizer.json or a vocab.txt")
}

/// The tokens before and after a whole text; nil if a tokenizer has none.
package struct TextBorders: Sendable, Equatable {
  /// bos_token.
  package let begin: Int32?
  /// eos_token.
  package let end: Int32?

  /// The usual names of these tokens, for tokenizers whose files do not name them.
  private static let usualBegins = ["<s>", "<|begin_of_text|>", "<bos>", "<|endoftext|>"]
  private static let usualEnds = ["</s>", "<|end_of_text|>", "<eos>", "<|endoftext|>"]

  /// Finds the tokens of a model directory's tokenizer: those that `tokenizer_config.json` or `special_tokens_map.json`
  /// name, otherwise those with the usual names. Throws `.input` for a broken file.
  package init(_ tokenizer: any Tokenizer, inModelDirectory directory: String) throws {
    let settings = try TokenizerSettings(directory: directory)
    func id(_ named: String?, else usual: [String]) -> Int32? {
      (named.map { [$0] } ?? usual).lazy.compactMap(tokenizer.tokenID).first
    }
    begin = id(settings.beginToken, else: TextBorders.usualBegins)
    end = id(settings.endToken, else: TextBorders.usualEnds)
  }
}
