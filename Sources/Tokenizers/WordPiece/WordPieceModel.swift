import Platform

/// Splits a word from its start into the longest tokens of the vocabulary; tokens after the first have a prefix in the
/// vocabulary ("##ing").
struct WordPieceModel: SubwordModel {
  let vocabulary: Vocabulary
  let unknownID: Int32
  let continuationPrefix: String
  /// Words of more Unicode scalars become the unknown token.
  let maximumWordLength: Int
  /// The node in the vocabulary's trie after the prefix; nil if no token has it.
  private let continuationNode: UInt32?

  /// - Throws: `.input` if `unknownToken` is not in the vocabulary.
  init(
    vocabulary: Vocabulary, unknownToken: String = "[UNK]", continuationPrefix: String = "##",
    maximumWordLength: Int = 100, at location: String
  ) throws {
    guard let unknownID = vocabulary.id(of: unknownToken) else {
      throw RetortError(
        .input, "the unknown token \(quoted(unknownToken)) is not in the vocabulary", at: location,
        remedy: "add it to the vocabulary, or set unk_token to the right token")
    }
    self.vocabulary = vocabulary
    self.unknownID = unknownID
    self.continuationPrefix = continuationPrefix
    self.maximumWordLength = maximumWordLength
    var prefix = continuationPrefix
    continuationNode = prefix.withUTF8 { vocabulary.trie.node(of: $0) }
  }

  func add(to digest: Digest) {
    digest.update("wordpiece")
    digest.update(continuationPrefix)
    digest.update(UInt64(unknownID))
    digest.update(UInt64(maximumWordLength))
    vocabulary.add(to: digest)
  }

  func encode(_ text: UnsafeBufferPointer<UInt8>, words: [Range<Int>], into ids: inout [Int32]) {
    let trie = vocabulary.trie
    for word in words {
      if word.count > maximumWordLength && UTF8Text.scalarCount(text, word) > maximumWordLength {
        ids.append(unknownID)
        continue
      }
      let before = ids.count
      var start = word.lowerBound
      var node: UInt32? = ByteTrie.root
      while start < word.upperBound {
        guard let from = node,
          let piece = trie.longestPrefix(of: text, from: start, node: from, limit: word.upperBound)
        else {
          // A part that is not in the vocabulary makes the whole word unknown.
          ids.removeLast(ids.count - before)
          ids.append(unknownID)
          break
        }
        ids.append(piece.value)
        start = piece.end
        node = continuationNode
      }
    }
  }

  func spans(of word: UnsafeBufferPointer<UInt8>) -> [TokenSpan] {
    var ids: [Int32] = []
    encode(word, words: [0..<word.count], into: &ids)
    if ids.count == 1 { return [TokenSpan(id: ids[0], range: 0..<word.count)] }
    var start = 0
    return ids.map { id in
      let prefix = start == 0 ? 0 : continuationPrefix.utf8.count
      let end = start + (vocabulary.token(of: id)?.utf8.count ?? prefix) - prefix
      defer { start = end }
      return TokenSpan(id: id, range: start..<end)
    }
  }
}
