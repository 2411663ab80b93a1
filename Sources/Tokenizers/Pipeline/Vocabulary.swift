import Platform

/// The tokens of a model and their ids, in both directions.
struct Vocabulary: Digestible {
  /// Larger ids are refused as damage, since the table of tokens is as long as the largest id.
  static let maximumID = (1 << 24) - 1

  let trie: ByteTrie
  /// Token by id; nil for an id without a token.
  private let tokens: [String?]

  /// The number of tokens, from which the library numbers added tokens.
  let count: Int

  /// The largest id + 1.
  var size: Int { tokens.count }

  func token(of id: Int32) -> String? { id >= 0 && Int(id) < tokens.count ? tokens[Int(id)] : nil }

  func id(of token: String) -> Int32? {
    var token = token
    return token.withUTF8 { trie.value(of: $0) }
  }

  /// - Parameter count: the number of tokens as the library counts them, if it differs from the number of entries.
  /// - Throws: `.input` for an id that is negative, too large or used twice, and for a token with two ids.
  init(_ entries: [(token: String, id: Int)], count: Int? = nil, at location: String) throws {
    func refusal(_ what: String) -> RetortError {
      RetortError(
        .input, what, at: location, remedy: "the file is damaged: download it again from the model's source")
    }
    guard !entries.isEmpty else { throw refusal("the vocabulary is empty") }
    var largest = -1
    var byteCount = 0
    for (token, id) in entries {
      guard id >= 0, id <= Vocabulary.maximumID else {
        throw refusal("token \(quoted(token)) has the id \(id), which is outside 0...\(Vocabulary.maximumID)")
      }
      largest = max(largest, id)
      byteCount += token.utf8.count
    }
    // The table of tokens is as long as the largest id, so a few tokens with a large id would waste memory.
    guard largest < 65_536 + 16 * entries.count else {
      throw refusal("the largest id is \(largest), but the vocabulary has only \(entries.count) tokens")
    }
    var tokens = [String?](repeating: nil, count: largest + 1)
    var trie = ByteTrie(expectedByteCount: byteCount)
    for (token, id) in entries {
      if let other = tokens[id] { throw refusal("tokens \(quoted(other)) and \(quoted(token)) have the same id \(id)") }
      tokens[id] = token
      var token = token
      let isNew = token.withUTF8 { trie.insert($0, value: Int32(id)) }
      if isNew { continue }
      if let other = token.withUTF8({ trie.value(of: $0) }) {
        throw refusal("token \(quoted(token)) has two ids, \(other) and \(id)")
      }
      throw refusal("the tokens are too many or too long (\(byteCount) bytes in all)")
    }
    self.tokens = tokens
    self.count = count ?? entries.count
    self.trie = trie
  }

  func add(to digest: Digest) {
    digest.update("vocabulary")
    digest.update(UInt64(tokens.count))
    // One buffer instead of 30,000 calls: length, then bytes; an id without a token has an impossible length.
    var bytes: [UInt8] = []
    bytes.reserveCapacity(tokens.count * 12)
    for token in tokens {
      let length = token.map { UInt32($0.utf8.count) } ?? .max
      for byte in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: length >> (8 * UInt32(byte)))) }
      if let token { bytes.append(contentsOf: token.utf8) }
    }
    bytes.withUnsafeBytes(digest.update(_:))
  }
}

/// A token for an error message: in quotes, cut to 40 characters.
func quoted(_ token: String) -> String {
  let shown = token.unicodeScalars.prefix(40).map { $0.value < 32 ? "·" : String($0) }.joined()
  return "\"\(shown)\(token.unicodeScalars.count > 40 ? "…" : "")\""
}
