import Foundation
import Platform

/// The byte offset and line of each record of a file.
///
/// One pass finds all records; any rank can then read any range of them.
struct RecordIndex: Sendable {
  /// Byte offset of each record.
  private(set) var starts: [Int] = []
  /// Line on which each record starts, counted from 1.
  private(set) var lines: [UInt32] = []
  /// Offset after each record's last byte, for documents and JSON lists; empty for other formats.
  private(set) var stops: [Int] = []
  /// Offset at which the last record ends, without line breaks at the end of the file.
  private(set) var end = 0

  private mutating func add(_ start: Int, _ line: Int) {
    starts.append(start)
    lines.append(UInt32(truncatingIfNeeded: line))
  }

  /// Adds a record that ends at `stop`.
  mutating func add(_ start: Int, _ line: Int, stop: Int) {
    add(start, line)
    stops.append(stop)
    end = stop
  }

  /// Removes the first record, a header, and returns its offset.
  mutating func removeFirst() -> Int? {
    guard !starts.isEmpty else { return nil }
    lines.removeFirst()
    if !stops.isEmpty { stops.removeFirst() }
    return starts.removeFirst()
  }

  /// The bytes of a record, which may span several lines in CSV, without the line breaks at its end.
  func bytes(of record: Int, in bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    let start = starts[record]
    var stop = stops.isEmpty ? (record + 1 < starts.count ? starts[record + 1] : end) : stops[record]
    while stop > start, bytes[stop - 1] == 0x0a || bytes[stop - 1] == 0x0d { stop -= 1 }
    return UnsafeRawBufferPointer(rebasing: bytes[start..<stop])
  }

  /// Keeps the records whose indices `isWanted` accepts.
  mutating func keep(_ isWanted: (Int) -> Bool) {
    let places = starts.indices.filter(isWanted)
    starts = places.map { starts[$0] }
    lines = places.map { lines[$0] }
    if !stops.isEmpty { stops = places.map { stops[$0] } }
  }

  /// One record per line; blank lines are left out. With `tabsCount` a line of spaces or tabs is not blank.
  static func ofLines(_ bytes: UnsafeRawBufferPointer, from first: Int, tabsCount: Bool = false) -> RecordIndex {
    var index = RecordIndex()
    index.end = trimmedEnd(bytes)
    var at = first
    var line = 1
    while at < index.end {
      let stop = lineEnd(bytes, at, index.end)
      if !isBlank(bytes, at, stop, tabsCount: tabsCount) { index.add(at, line) }
      at = stop + 1
      line += 1
    }
    return index
  }

  /// One record per CSV record, which ends at a line break outside quotes (RFC 4180); blank lines are left out.
  /// Throws `.input` for a quote that is not closed.
  static func ofCSV(_ bytes: UnsafeRawBufferPointer, from first: Int, path: String) throws -> RecordIndex {
    var index = RecordIndex()
    index.end = trimmedEnd(bytes)
    let end = index.end
    var (at, line, quoteLine) = (first, 1, 0)
    var (inRecord, inQuotes, fieldStarts) = (false, false, true)
    while at < end {
      let byte = bytes[at]
      if !inRecord {
        let stop = lineEnd(bytes, at, end)
        if isBlank(bytes, at, stop) {
          at = stop + 1
          line += 1
          continue
        }
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

  /// The offset of the first line break at or after `at`, or `end`.
  static func lineEnd(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ end: Int) -> Int {
    guard at < end, let base = bytes.baseAddress, let found = memchr(base + at, 0x0a, end - at) else { return end }
    return UnsafeRawPointer(found) - base
  }

  /// Whether a range has only white space; with `tabsCount` spaces and tabs do not count as white space.
  static func isBlank(_ bytes: UnsafeRawBufferPointer, _ from: Int, _ to: Int, tabsCount: Bool = false) -> Bool {
    for at in from..<to where bytes[at] != 0x0d && (tabsCount || bytes[at] != 0x20 && bytes[at] != 0x09) {
      return false
    }
    return true
  }

  private static func trimmedEnd(_ bytes: UnsafeRawBufferPointer) -> Int {
    var end = bytes.count
    while end > 0, bytes[end - 1] == 0x0a || bytes[end - 1] == 0x0d { end -= 1 }
    return end
  }
}
