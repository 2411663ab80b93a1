import Platform

/// A byte-level vocabulary in two files, `vocab.json` (tokens and ids) and `merges.txt` (two parts per line, the
/// earliest merge first), from which the classes of GPT-2, RoBERTa and Qwen 2 build their tokenizers.
struct VocabularyPair {
  /// The classes that read these files.
  private static let classes = ["GPT2Tokenizer", "Qwen2Tokenizer", "RobertaTokenizer"]

  /// Whether these files are the tokenizer of a directory with such tokenizer files.
  static func isAlone(among files: [String]) -> Bool {
    let others = ["tokenizer.json", "vocab.txt"] + sentencePieceFileNames
    return files.contains("vocab.json") && files.contains("merges.txt") && !others.contains(where: files.contains)
  }

  let directory: String
  let settings: TokenizerSettings

  private var vocabularyPath: String { joinPath(directory, "vocab.json") }
  private var mergesPath: String { joinPath(directory, "merges.txt") }

  /// - Throws: `.input` for another class, and for damaged files with the line of a merge.
  func tokenizer() throws -> any Tokenizer {
    guard let name = settings.pairClassName, VocabularyPair.classes.contains(name) else {
      let other = settings.pairClassName.map { "\($0) does not read them" } ?? "no file says which class reads them"
      throw RetortError(
        .input, "has vocab.json and merges.txt without tokenizer.json, and \(other)", at: directory,
        remedy: "set tokenizer_class in tokenizer_config.json to GPT2Tokenizer, Qwen2Tokenizer or RobertaTokenizer, or "
          + "save the tokenizer with transformers' save_pretrained, which writes tokenizer.json")
    }
    var settings = settings
    settings.className = name
    if name == "Qwen2Tokenizer" { settings.nameUsualRoles() }
    let vocabulary = try OrderedJSON(contentsOf: vocabularyPath)
    let merges = try merges(vocabulary)
    let file = TokenizerJSON(root: root(name, vocabulary, merges), path: vocabularyPath, namesSections: false)
    return try file.tokenizer(settings: settings)
  }

  /// The sections of a tokenizer.json as the class builds them.
  private func root(_ name: String, _ vocabulary: OrderedJSON, _ merges: [OrderedJSON]) -> OrderedJSON {
    let isQwen = name == "Qwen2Tokenizer"
    let bytes: OrderedJSON = .object([
      ("type", .string("ByteLevel")), ("add_prefix_space", .bool(settings.prefixSpace ?? false)),
      ("use_regex", .bool(!isQwen)),
    ])
    let split: OrderedJSON = .object([
      ("type", .string("Split")), ("pattern", .object([("Regex", .string(SplitPattern.qwen2Expression))])),
      ("behavior", .string("Isolated")), ("invert", .bool(false)),
    ])
    let words: OrderedJSON =
      isQwen ? .object([("type", .string("Sequence")), ("pretokenizers", .array([split, bytes]))]) : bytes
    return .object([
      ("normalizer", isQwen ? .object([("type", .string("NFC"))]) : .null), ("pre_tokenizer", words),
      ("decoder", .object([("type", .string("ByteLevel"))])),
      (
        "model",
        .object([("type", .string("BPE")), ("vocab", vocabulary), ("merges", .array(merges))])
      ),
    ])
  }

  /// Reads lines of two tokens with a space in between; lines that begin with `#version` are comments.
  private func merges(_ vocabulary: OrderedJSON) throws -> [OrderedJSON] {
    let tokens = Set((vocabulary.members ?? []).map { Array($0.key.utf8) })
    let data = try readFile(mergesPath)
    guard let text = String(validating: data, as: UTF8.self) else {
      throw refusal("is not UTF-8", at: mergesPath)
    }
    var merges: [OrderedJSON] = []
    // Character boundaries play no part: a line break before a combining mark is a line break.
    var lines = text.utf8.split(separator: 0x0a, omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    for (index, line) in lines.enumerated() {
      let bytes = line.last == 0x0d ? line.dropLast() : line
      if bytes.starts(with: "#version".utf8) { continue }
      let parts = bytes.split(separator: 0x20, omittingEmptySubsequences: false).map(Array.init)
      let place = "\(mergesPath), line \(index + 1)"
      guard parts.count == 2 else { throw refusal("the line is not two tokens with a space in between", at: place) }
      for part in [parts[0], parts[1], parts[0] + parts[1]] where !tokens.contains(part) {
        throw refusal("\(quoted(String(decoding: part, as: UTF8.self))) is not in vocab.json", at: place)
      }
      merges.append(.array(parts.map { .string(String(decoding: $0, as: UTF8.self)) }))
    }
    return merges
  }

  private func refusal(_ what: String, at location: String) -> RetortError {
    RetortError(.input, what, at: location, remedy: "download both files again from the model's source")
  }
}
