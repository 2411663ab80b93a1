import Foundation
import Platform

/// Where each record of a file starts, and on which line.
///
/// Records are found in one pass, so that afterwards any rank can read any range of them.
struct RecordIndex: Sendable {
  /// Byte offset of each record.
  private(set) var starts: [Int] = []
  /// Line on which each record starts, counted from 1.
  private(set) var lines: [UInt32] = []
  /// Byte behind each record, where that is not the end of its line: of documents only, otherwise empty.
  private(set) var stops: [Int] = []
  /// Where the records end: the file's length without blank lines at its end.
  private(set) var end = 0

  private mutating func add(_ start: Int, _ line: Int) {
    starts.append(start)
    lines.append(UInt32(truncatingIfNeeded: line))
  }

  /// Adds a document.
  mutating func add(_ start: Int, _ line: Int, stop: Int) {
    add(start, line)
    stops.append(stop)
    end = stop
  }

  /// Removes and returns the first record, for headers.
  mutating func removeFirst() -> Int? {
    guard !starts.isEmpty else { return nil }
    lines.removeFirst()
    return starts.removeFirst()
  }

  /// A record a line; blank ones are left out, or only those at the end of the file.
  static func ofLines(_ bytes: UnsafeRawBufferPointer, from first: Int, skipBlank: Bool) -> RecordIndex {
    var index = RecordIndex()
    index.end = trimmedEnd(bytes)
    var at = first
    var line = 1
    while at < index.end {
      let stop = lineEnd(bytes, at, index.end)
      if !skipBlank || !isBlank(bytes, at, stop) { index.add(at, line) }
      at = stop + 1
      line += 1
    }
    return index
  }

  /// A record ends at a line break outside quotes (RFC 4180). Throws `.input` for a quote that is never closed.
  static func ofCSV(_ bytes: UnsafeRawBufferPointer, from first: Int, path: String) throws -> RecordIndex {
    var index = RecordIndex()
    index.end = trimmedEnd(bytes)
    let end = index.end
    var (at, line, quoteLine) = (first, 1, 0)
    var (inRecord, inQuotes, fieldStarts) = (false, false, true)
    while at < end {
      let byte = bytes[at]
      if !inRecord {
        index.add(at, line)
        inRecord = true
        fieldStarts = true
      }
      if byte == UInt8(ascii: "\n") { line += 1 }
      if inQuotes {
        // Two quotes inside quotes are one quote of the text.
        if byte == UInt8(ascii: "\"") {
          if at + 1 < end, bytes[at + 1] == UInt8(ascii: "\"") { at += 1 } else { inQuotes = false }
        }
      } else if byte == UInt8(ascii: "\"") && fieldStarts {
        inQuotes = true
        quoteLine = line
        fieldStarts = false
      } else if byte == UInt8(ascii: "\n") {
        inRecord = false
      } else {
        fieldStarts = byte == UInt8(ascii: ",")
      }
      at += 1
    }
    if inQuotes {
      throw RetortError(
        .input, "a quote that opens on this line is never closed", at: "\(path):\(quoteLine)",
        remedy: "close it, double quotes inside quotes, or name the file .tsv if its fields are not quoted")
    }
    return index
  }

  /// The offset of the line break at or after `at`, or `end`.
  static func lineEnd(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ end: Int) -> Int {
    guard at < end, let base = bytes.baseAddress, let found = memchr(base + at, 0x0a, end - at) else { return end }
    return UnsafeRawPointer(found) - base
  }

  static func isBlank(_ bytes: UnsafeRawBufferPointer, _ from: Int, _ to: Int) -> Bool {
    for at in from..<to where bytes[at] != 0x20 && bytes[at] != 0x09 && bytes[at] != 0x0d { return false }
    return true
  }

  private static func trimmedEnd(_ bytes: UnsafeRawBufferPointer) -> Int {
    var end = bytes.count
    while end > 0, bytes[end - 1] == 0x0a || bytes[end - 1] == 0x0d { end -= 1 }
    return end
  }
}
