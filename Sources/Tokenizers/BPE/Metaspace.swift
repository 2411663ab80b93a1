import Platform

/// The mark that represents a space in SentencePiece vocabularies: "▁".
enum MetaspaceMark {
  static let text = "▁"
  static let bytes = Array(text.utf8)
}

/// Replaces spaces by marks, prepends a mark to the text, and for some vocabularies splits before each mark.
struct MetaspacePreTokenizer: PreTokenizer {
  enum Prepend: Sendable { case always, first, never }

  let mark: [UInt8]
  let prepend: Prepend
  let splits: Bool

  func add(to digest: Digest) { digest.update("metaspace \(mark) \(prepend) \(splits)") }

  var rewrites: Bool { true }

  var dependsOnStart: Bool { prepend == .first }

  func rewrite(_ text: UnsafeBufferPointer<UInt8>, isStart: Bool) -> [UInt8]? {
    var result: [UInt8] = []
    result.reserveCapacity(text.count * 5 / 4 + mark.count)
    let starts = text.first == 0x20 || text.starts(with: mark)
    if prepend == .always || prepend == .first && isStart, !starts { result += mark }
    for byte in text {
      if byte == 0x20 { result += mark } else { result.append(byte) }
    }
    return result
  }

  func split(_ text: UnsafeBufferPointer<UInt8>, into words: inout [Range<Int>]) {
    guard splits else {
      if !text.isEmpty { words.append(0..<text.count) }
      return
    }
    var start = 0
    for index in 0..<text.count where index > start && text[index] == mark[0] && text[index...].starts(with: mark) {
      words.append(start..<index)
      start = index
    }
    if start < text.count { words.append(start..<text.count) }
  }
}

/// Splits text by a pattern, or not at all; if the file says so, prepends a space to text that does not begin with one.
struct ByteLevelPreTokenizer: PreTokenizer {
  let pattern: SplitPattern?
  let prependsSpace: Bool

  func add(to digest: Digest) {
    digest.update("byte level \(prependsSpace)")
    if let pattern { pattern.add(to: digest) }
  }

  var rewrites: Bool { prependsSpace }

  func rewrite(_ text: UnsafeBufferPointer<UInt8>, isStart: Bool) -> [UInt8]? {
    prependsSpace && text.first != 0x20 ? [0x20] + text : nil
  }

  func split(_ text: UnsafeBufferPointer<UInt8>, into words: inout [Range<Int>]) {
    if let pattern {
      pattern.split(text, into: &words)
    } else if !text.isEmpty {
      words.append(0..<text.count)
    }
  }
}
