import Platform

/// What a class that builds its own pipeline takes from a tokenizer.json or a SentencePiece model.
struct ClassParts {
  let vocabulary: Vocabulary
  let scores: [Double]
  let map: CharacterMap?
  let path: String

  /// - Throws: `.input` if the vocabulary lacks a token that the class needs.
  func tokenizer(
    _ builder: SentencePieceClass, _ added: [AddedToken], _ settings: TokenizerSettings, truncatesLeft: Bool
  ) throws -> PipelineTokenizer {
    func id(_ token: String) throws -> Int32 {
      if let id = specialTokenID(token, added, vocabulary) { return id }
      throw RetortError(
        .input, "\(quoted(token)), which \(builder.rawValue) puts around a text, is not in the vocabulary", at: path,
        remedy: "name the right token in tokenizer_config.json")
    }
    let unknown = builder.unknownID(vocabulary, settings)
    guard scores.indices.contains(Int(unknown)) else {
      throw RetortError(
        .input, "\(builder.rawValue) has the unknown token \(unknown), but the vocabulary has \(scores.count) tokens",
        at: path,
        remedy: "set tokenizer_class in tokenizer_config.json to PreTrainedTokenizerFast, which uses the file's")
    }
    return PipelineTokenizer(
      addedTokens: added, normalizer: builder.normalizer(map, settings), preTokenizer: builder.preTokenizer(settings),
      model: UnigramModel(vocabulary: vocabulary, scores: scores, unknown: unknown, byteFallback: false),
      postProcessor: try builder.postProcessor(settings, id), decoder: builder.decoder(settings),
      truncatesLeft: truncatesLeft, splitsSpecial: settings.splitsSpecial)
  }
}
