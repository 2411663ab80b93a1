import Platform

/// A BERT vocabulary in the form of `vocab.txt`: a token a line, the line's number (from 0) its id.
struct VocabularyText {
  let path: String
  let settings: TokenizerSettings

  func tokenizer() throws -> any Tokenizer {
    let vocabulary = try Vocabulary(entries(), at: path)
    let model = try WordPieceModel(vocabulary: vocabulary, unknownToken: settings.unknownToken, at: path)
    let added = settings.addedTokens(vocabulary)
    try check(added, against: vocabulary, at: path)
    func id(_ name: String, _ key: String) throws -> Int32 {
      let known = added.first { $0.content.utf8.elementsEqual(name.utf8) }?.id ?? vocabulary.id(of: name)
      guard let known else {
        throw RetortError(
          .input, "the token \(quoted(name)) is not in the vocabulary", at: path,
          remedy: "add it as a line, or name the right one as \(key) in tokenizer_config.json")
      }
      return known
    }
    return PipelineTokenizer(
      addedTokens: added,
      normalizer: BERTNormalizer(
        separatesChinese: settings.separatesChinese ?? true, stripsAccents: settings.stripsAccents,
        lowercases: settings.lowercases ?? true),
      preTokenizer: BERTPreTokenizer(), model: model,
      postProcessor: try TemplatePostProcessor.bert(
        cls: id(settings.classToken, "cls_token"), sep: id(settings.separatorToken, "sep_token")),
      decoder: WordPieceDecoder())
  }

  /// Empty lines have a number but no token; a token on two lines is refused, since one of its ids could never occur.
  private func entries() throws -> [(token: String, id: Int)] {
    let data = try readFile(path)
    return try data.withUnsafeBytes { raw in
      let bytes = raw.bindMemory(to: UInt8.self)
      var entries: [(token: String, id: Int)] = []
      entries.reserveCapacity(bytes.count / 7)
      var line = 0
      var start = 0
      while start < bytes.count {
        var end = start
        while end < bytes.count && bytes[end] != 0x0a { end += 1 }
        let hasReturn = end > start && bytes[end - 1] == 0x0d
        let content = UnsafeBufferPointer(rebasing: bytes[start..<(hasReturn ? end - 1 : end)])
        guard let token = String(validating: content, as: UTF8.self) else {
          throw RetortError(
            .input, "the line is not UTF-8", at: "\(path), line \(line + 1)",
            remedy: "take the file from the model's source again")
        }
        if !token.isEmpty { entries.append((token, line)) }
        line += 1
        start = end + 1
      }
      return entries
    }
  }
}
