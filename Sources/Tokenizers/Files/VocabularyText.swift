import Platform

/// A WordPiece vocabulary in `vocab.txt`, of BERT's class or MPNet's: one token per line; the line number, from 0, is
/// the id.
struct VocabularyText {
  let path: String
  let settings: TokenizerSettings
  private var isMPNet: Bool { settings.className == "MPNetTokenizer" }

  /// Takes the settings from the files beside it.
  init(path: String, settings: TokenizerSettings) {
    self.path = path
    var settings = settings
    settings.className = settings.textClassName
    self.settings = settings
  }

  /// - Throws: `.input` for a class with other special tokens or pieces, and for damaged files.
  func tokenizer() throws -> any Tokenizer {
    // The lines tell neither which tokens are put around a text nor how it is divided.
    guard isMPNet || settings.className == "BertTokenizer" else {
      throw RetortError(
        .input,
        "\(settings.textClassName) does not read this file as BERT's class does, and there is no tokenizer.json",
        at: path,
        remedy: "save the tokenizer with transformers' save_pretrained, which writes tokenizer.json, or set "
          + "tokenizer_class in tokenizer_config.json to BertTokenizer or MPNetTokenizer if the file is theirs")
    }
    let (entries, count) = try entries()
    let vocabulary = try Vocabulary(entries, count: count, at: path)
    let model = try WordPieceModel(vocabulary: vocabulary, unknownToken: settings.unknownToken, at: path)
    let added = settings.addedTokens(vocabulary)
    func id(_ name: String, _ key: String) throws -> Int32 {
      let known = added.first { $0.content.utf8.elementsEqual(name.utf8) }?.id ?? vocabulary.id(of: name)
      guard let known else {
        throw RetortError(
          .input, "the token \(quoted(name)) is not in the vocabulary", at: path,
          remedy: "add it as a line, or set \(key) in tokenizer_config.json to the right token")
      }
      return known
    }
    return PipelineTokenizer(
      addedTokens: added,
      normalizer: BERTNormalizer(
        separatesChinese: settings.separatesChinese ?? true, stripsAccents: settings.stripsAccents,
        lowercases: settings.lowercases ?? true),
      preTokenizer: BERTPreTokenizer(), model: model,
      postProcessor: isMPNet
        ? try settings.robertaTemplate { try id($0, $1.rawValue) }
        : try .bert(cls: id(settings.classToken, "cls_token"), sep: id(settings.separatorToken, "sep_token")),
      decoder: SteppedDecoder(steps: [WordPieceDecoder()]), truncatesLeft: settings.truncatesLeft ?? false,
      splitsSpecial: settings.splitsSpecial)
  }

  /// Reads lines as the library does: white space at the end of a line is not part of the token, empty lines use up an
  /// id and count as one token, and a token on several lines has the id of the last one.
  private func entries() throws -> (entries: [(token: String, id: Int)], count: Int) {
    let data = try readFile(path)
    return try data.withUnsafeBytes { raw in
      let bytes = raw.bindMemory(to: UInt8.self)
      var entries: [(token: String, id: Int)] = []
      entries.reserveCapacity(bytes.count / 7)
      var indices: [[UInt8]: Int] = [:]
      indices.reserveCapacity(bytes.count / 7)
      var hasEmptyLine = false
      var line = 0
      var start = 0
      while start < bytes.count {
        var end = start
        while end < bytes.count && bytes[end] != 0x0a { end += 1 }
        let content = UnsafeBufferPointer(rebasing: bytes[start..<end])
        guard let text = String(validating: content, as: UTF8.self) else {
          throw RetortError(
            .input, "the line is not UTF-8", at: "\(path), line \(line + 1)",
            remedy: "download the file again from the model's source")
        }
        let token = VocabularyText.withoutTrailingSpace(text)
        if token.isEmpty {
          hasEmptyLine = true
        } else if let index = indices.updateValue(entries.count, forKey: Array(token.utf8)) {
          entries[index].id = line
          indices[Array(token.utf8)] = index
        } else {
          entries.append((token, line))
        }
        line += 1
        start = end + 1
      }
      return (entries, entries.count + (hasEmptyLine ? 1 : 0))
    }
  }

  private static func withoutTrailingSpace(_ text: String) -> String {
    guard let last = text.unicodeScalars.last, isWhiteSpace(last) else { return text }
    var scalars = Substring(text).unicodeScalars
    while let last = scalars.last, isWhiteSpace(last) { scalars.removeLast() }
    return String(scalars)
  }
}
