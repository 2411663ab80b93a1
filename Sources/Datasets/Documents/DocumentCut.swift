import Foundation

/// How a plain text file is divided into documents; white space without text is not a document.
package enum DocumentCut: Sendable, Equatable {
  /// At each `<|endoftext|>` if the file contains one; otherwise the file is one document.
  case automatic
  /// Nowhere: the whole file is one document, unchanged.
  case file
  /// At blank lines.
  case paragraph
  /// At line breaks.
  case line
  /// At each occurrence of a text; the text and the white space next to it belong to no document.
  case separator(String)

  /// The mark that many text collections put between documents.
  static let usualSeparator = "<|endoftext|>"

  /// The cut named in a chain file: `file`, `paragraph` or `line`; any other name is a separator.
  package init(named name: String) {
    switch name {
    case "file": self = .file
    case "paragraph": self = .paragraph
    case "line": self = .line
    default: self = .separator(name)
    }
  }

  /// The name in a chain file; nil for `automatic`, which has no name.
  package var name: String? {
    switch self {
    case .automatic: nil
    case .file: "file"
    case .paragraph: "paragraph"
    case .line: "line"
    case .separator(let text): text
    }
  }

  /// Replaces `automatic` by the cut for these bytes; returns any other cut unchanged.
  func resolved(for bytes: UnsafeRawBufferPointer) -> DocumentCut {
    guard self == .automatic else { return self }
    let mark = Array(DocumentCut.usualSeparator.utf8)
    return ByteSearch.next(mark, in: bytes, from: 0, to: bytes.count) == nil
      ? .file : .separator(DocumentCut.usualSeparator)
  }
}

/// Searches the bytes of a file.
enum ByteSearch {
  /// The offset of the first `pattern` that lies within `start` ..< `end`, or nil.
  static func next(_ pattern: [UInt8], in bytes: UnsafeRawBufferPointer, from start: Int, to end: Int) -> Int? {
    guard let base = bytes.baseAddress, let first = pattern.first else { return nil }
    var at = start
    while end - at >= pattern.count, let found = memchr(base + at, Int32(first), end - at - pattern.count + 1) {
      at = UnsafeRawPointer(found) - base
      if memcmp(base + at, pattern, pattern.count) == 0 { return at }
      at += 1
    }
    return nil
  }

  /// The number of line breaks in a range.
  static func lineBreaks(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> Int {
    bytes[range].reduce(0) { $0 + ($1 == 0x0a ? 1 : 0) }
  }
}

extension RecordIndex {
  /// One record per document; `stops` holds the offset after the last byte of each.
  ///
  /// - Parameter cut: not `automatic`.
  static func ofDocuments(_ bytes: UnsafeRawBufferPointer, from first: Int, _ cut: DocumentCut) -> RecordIndex {
    switch cut {
    case .automatic, .file: return ofParts(bytes, from: first, separatedBy: nil, isTrimmed: false)
    case .separator(let text): return ofParts(bytes, from: first, separatedBy: Array(text.utf8), isTrimmed: true)
    case .paragraph: return ofLineGroups(bytes, from: first, most: .max)
    case .line: return ofLineGroups(bytes, from: first, most: 1)
    }
  }

  /// One record per group of at most `most` consecutive lines that are not blank.
  private static func ofLineGroups(_ bytes: UnsafeRawBufferPointer, from first: Int, most: Int) -> RecordIndex {
    var index = RecordIndex()
    var (at, line, count) = (first, 1, 0)
    var (start, startLine, stop) = (first, 1, first)
    while at < bytes.count {
      let lineStop = lineEnd(bytes, at, bytes.count)
      let isText = !isBlank(bytes, at, lineStop)
      if count > 0 && (!isText || count == most) {
        index.add(start, startLine, stop: stop)
        count = 0
      }
      if isText {
        if count == 0 { (start, startLine) = (at, line) }
        stop = lineStop > at && bytes[lineStop - 1] == 0x0d ? lineStop - 1 : lineStop
        count += 1
      }
      (at, line) = (lineStop + 1, line + 1)
    }
    if count > 0 { index.add(start, startLine, stop: stop) }
    return index
  }

  /// One record per stretch of text between separators; one for the whole text without a separator.
  private static func ofParts(
    _ bytes: UnsafeRawBufferPointer, from first: Int, separatedBy separator: [UInt8]?, isTrimmed: Bool
  ) -> RecordIndex {
    var index = RecordIndex()
    var (at, line) = (first, 1)
    while at <= bytes.count {
      let stop = separator.flatMap { ByteSearch.next($0, in: bytes, from: at, to: bytes.count) } ?? bytes.count
      var text = at..<stop
      while let byte = text.first.map({ bytes[$0] }), isSpace(byte) { text = text.dropFirst() }
      if !text.isEmpty {
        while isSpace(bytes[text.upperBound - 1]) { text = text.dropLast() }
        if !isTrimmed { text = at..<stop }
        index.add(text.lowerBound, line + ByteSearch.lineBreaks(bytes, at..<text.lowerBound), stop: text.upperBound)
      }
      let next = stop + (separator?.count ?? 1)
      line += ByteSearch.lineBreaks(bytes, at..<min(next, bytes.count))
      at = next
    }
    return index
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }
}
