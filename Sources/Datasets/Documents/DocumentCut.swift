import Foundation

/// Where a document of a plain text file ends and the next one begins; documents of nothing but white space are none.
public enum DocumentCut: Sendable, Equatable {
  /// At `<|endoftext|>` where the file has it, otherwise nowhere: ends that a text does not have are not made up.
  case automatic
  /// Nowhere: the file is one document, as it stands.
  case file
  /// At blank lines.
  case paragraph
  /// At line breaks.
  case line
  /// At a text, which belongs to no document, nor does white space beside it.
  case separator(String)

  /// The mark between documents that many collections of text have.
  static let usualSeparator = "<|endoftext|>"

  /// The cut that a chain file names: `file`, `paragraph`, `line`, or else a separator.
  public init(named name: String) {
    switch name {
    case "file": self = .file
    case "paragraph": self = .paragraph
    case "line": self = .line
    default: self = .separator(name)
    }
  }

  /// The name in a chain file; nil for `automatic`, which has none.
  public var name: String? {
    switch self {
    case .automatic: nil
    case .file: "file"
    case .paragraph: "paragraph"
    case .line: "line"
    case .separator(let text): text
    }
  }

  /// What `automatic` means for these bytes; any other cut is itself.
  func resolved(for bytes: UnsafeRawBufferPointer) -> DocumentCut {
    guard self == .automatic else { return self }
    let mark = Array(DocumentCut.usualSeparator.utf8)
    return ByteSearch.next(mark, in: bytes, from: 0, to: bytes.count) == nil
      ? .file : .separator(DocumentCut.usualSeparator)
  }
}

/// Looking for a run of bytes in a file.
enum ByteSearch {
  /// Where `pattern` begins at or after `start` and ends at or before `end`, or nil.
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

  /// The line breaks in a range.
  static func lineBreaks(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> Int {
    bytes[range].reduce(0) { $0 + ($1 == 0x0a ? 1 : 0) }
  }
}

extension RecordIndex {
  /// A record a document, with the byte behind its last one in `stops`.
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

  /// Groups of neighbouring lines that are not blank, of `most` lines at most.
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

  /// What lies between the separators; all of it where there is none.
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
