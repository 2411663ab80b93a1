import Platform

// The model section of tokenizer.json for the unigram models of SentencePiece.
extension TokenizerJSON {
  /// Reads pairs of token and score; the position of a pair is its id.
  func unigramVocabulary(_ entries: OrderedJSON) throws -> Vocabulary {
    guard let pairs = entries.array else { throw refusal("is not a list of tokens and scores", in: "model.vocab") }
    var list: [(token: String, id: Int)] = []
    list.reserveCapacity(pairs.count)
    var indices: [[UInt8]: Int] = [:]
    indices.reserveCapacity(pairs.count)
    for (id, pair) in pairs.enumerated() {
      guard let parts = pair.array, parts.count == 2, let token = parts[0].string else {
        throw refusal("is not a pair of token and score", in: "model.vocab[\(id)]")
      }
      // As in the library, the last of several equal tokens counts; the ids of the others are never used.
      if let earlier = indices.updateValue(list.count, forKey: Array(token.utf8)) {
        list[earlier].id = id
        indices[Array(token.utf8)] = earlier
      } else {
        list.append((token, id))
      }
    }
    return try Vocabulary(list, count: pairs.count, at: "\(path), model.vocab")
  }

  /// The score of each id; throws for one that is not a finite number.
  func scores() throws -> [Double] {
    let pairs = root["model"]?["vocab"]?.array ?? []
    var scores: [Double] = []
    scores.reserveCapacity(pairs.count)
    for (id, pair) in pairs.enumerated() {
      guard let score = pair.array?.last?.number, score.isFinite else {
        let token = pair.array?.first?.string ?? ""
        throw refusal("the score of \(quoted(token)) is not a finite number", in: "model.vocab[\(id)]")
      }
      scores.append(score)
    }
    return scores
  }

  /// The first compiled map of characters among the normalizers; nil if there is none.
  func characterMap() throws -> CharacterMap? {
    guard let section = root["normalizer"] else { return nil }
    for part in section["normalizers"]?.array ?? [section] where part["type"]?.string == "Precompiled" {
      guard let map = part["precompiled_charsmap"]?.string else { continue }
      return try CharacterMap(base64: map, at: "\(path), normalizer.precompiled_charsmap")
    }
    return nil
  }

  func unigram(_ model: OrderedJSON, _ vocabulary: Vocabulary) throws -> UnigramModel {
    let scores = try scores()
    guard let unknown = model["unk_id"] else {
      throw refusal(
        "is missing: a character that the vocabulary lacks would have no token", in: "model.unk_id",
        remedy: "set it to the position of the unknown token in model.vocab")
    }
    guard let unknown = unknown.int, (0..<scores.count).contains(unknown) else {
      throw refusal("is not a position in model.vocab, which has \(scores.count) tokens", in: "model.unk_id")
    }
    return UnigramModel(
      vocabulary: vocabulary, scores: scores, unknown: Int32(unknown),
      byteFallback: model["byte_fallback"]?.bool ?? false)
  }
}
