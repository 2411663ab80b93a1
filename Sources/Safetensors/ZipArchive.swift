import Platform

/// The entries of a zip archive with uncompressed data, as torch writes it; zip64 too.
///
///     | local header, name, data | … | central directory: one record per entry | [zip64 end] | end record |
struct ZipArchive {
  private struct Entry {
    var localHeader: Int
    var size: Int
  }

  private let file: BoundedBytes
  private var entries: [String: Entry] = [:]
  private(set) var names: [String] = []

  /// Reads the central directory; throws `.input` if it is damaged or has compressed entries.
  init(_ file: BoundedBytes) throws {
    self.file = file
    let directory = try ZipArchive.directory(of: file)
    var position = directory.lowerBound
    while position < directory.upperBound { try readEntry(&position) }
  }

  func contains(_ name: String) -> Bool { entries[name] != nil }

  /// The data of an entry; nil if none has that name.
  func data(_ name: String) throws -> UnsafeRawBufferPointer? {
    guard let entry = entries[name] else { return nil }
    let what = "the zip entry \(shown(name))"
    guard try file.integer(entry.localHeader, as: UInt32.self, what) == 0x0403_4b50 else {
      throw RetortError(
        .input, "\(what) has no local header at byte \(entry.localHeader)", at: file.file, remedy: fetchAgain)
    }
    // Only the two lengths are read here: the sizes may be recorded in the central directory alone.
    let header = try file.slice(entry.localHeader, 30, what)
    let nameLength = Int(UInt16(littleEndian: header.loadUnaligned(fromByteOffset: 26, as: UInt16.self)))
    let extraLength = Int(UInt16(littleEndian: header.loadUnaligned(fromByteOffset: 28, as: UInt16.self)))
    return try file.slice(entry.localHeader + 30 + nameLength + extraLength, entry.size, what)
  }

  private mutating func readEntry(_ position: inout Int) throws {
    let start = position
    let what = "the zip directory"
    guard try file.integer(start, as: UInt32.self, what) == 0x0201_4b50 else {
      throw RetortError(.input, "\(what) has no record at byte \(start)", at: file.file, remedy: fetchAgain)
    }
    let flags = try file.integer(start + 8, as: UInt16.self, what)
    let method = try file.integer(start + 10, as: UInt16.self, what)
    let packed = try file.integer(start + 20, as: UInt32.self, what)
    let size = try file.integer(start + 24, as: UInt32.self, what)
    let nameLength = Int(try file.integer(start + 28, as: UInt16.self, what))
    let extraLength = Int(try file.integer(start + 30, as: UInt16.self, what))
    let commentLength = Int(try file.integer(start + 32, as: UInt16.self, what))
    let offset = try file.integer(start + 42, as: UInt32.self, what)
    let extra = try file.slice(start + 46 + nameLength, extraLength, what)
    guard let name = String(validating: try file.slice(start + 46, nameLength, what), as: UTF8.self) else {
      throw RetortError(.input, "\(what) has a name that is not UTF-8 at byte \(start)", at: file.file)
    }
    position = start + 46 + nameLength + extraLength + commentLength

    // Fields that do not fit 32 bits are all ones here; the zip64 field has their values, in this order.
    var wide = ZipArchive.zip64Fields(extra)[...]
    func resolve(_ field: UInt32) -> UInt64 { field == .max ? wide.popFirst() ?? UInt64(field) : UInt64(field) }
    let (fullSize, fullPacked, fullOffset) = (resolve(size), resolve(packed), resolve(offset))
    guard method == 0, flags & 1 == 0, fullSize == fullPacked else {
      throw RetortError(
        .input,
        "the zip entry \(shown(name)) is compressed or encrypted (method \(method)); torch stores its entries "
          + "uncompressed", at: file.file, remedy: "save the checkpoint again with torch.save or as safetensors")
    }
    guard let size = Int(exactly: fullSize), let offset = Int(exactly: fullOffset) else {
      throw RetortError(
        .input,
        "the zip entry \(shown(name)) has the size \(fullSize) and the offset \(fullOffset), but the file has "
          + "\(file.count) bytes", at: file.file, remedy: fetchAgain)
    }
    guard entries.updateValue(Entry(localHeader: offset, size: size), forKey: name) == nil else {
      throw RetortError(.input, "the zip directory holds \(shown(name)) twice", at: file.file)
    }
    names.append(name)
  }

  /// The 64-bit numbers of the extra field 0x0001.
  private static func zip64Fields(_ extra: UnsafeRawBufferPointer) -> [UInt64] {
    var position = 0
    while position + 4 <= extra.count {
      let tag = UInt16(littleEndian: extra.loadUnaligned(fromByteOffset: position, as: UInt16.self))
      let size = Int(UInt16(littleEndian: extra.loadUnaligned(fromByteOffset: position + 2, as: UInt16.self)))
      guard position + 4 + size <= extra.count else { return [] }
      if tag == 1 {
        return stride(from: position + 4, to: position + 4 + size / 8 * 8, by: 8).map {
          UInt64(littleEndian: extra.loadUnaligned(fromByteOffset: $0, as: UInt64.self))
        }
      }
      position += 4 + size
    }
    return []
  }

  /// The bytes of the central directory, according to the end record or its zip64 form.
  private static func directory(of file: BoundedBytes) throws -> Range<Int> {
    let end = try endRecord(of: file)
    let what = "the zip end record"
    var size = UInt64(try file.integer(end + 12, as: UInt32.self, what))
    var offset = UInt64(try file.integer(end + 16, as: UInt32.self, what))
    if end >= 20, try file.integer(end - 20, as: UInt32.self, what) == 0x0706_4b50 {
      let place = try file.integer(end - 12, as: UInt64.self, what)
      guard let wide = Int(exactly: place), wide <= end - 20 - 56,
        try file.integer(wide, as: UInt32.self, what) == 0x0606_4b50
      else {
        throw RetortError(
          .input, "has no zip64 end record at byte \(place), where it should be", at: file.file, remedy: fetchAgain)
      }
      size = try file.integer(wide + 40, as: UInt64.self, what)
      offset = try file.integer(wide + 48, as: UInt64.self, what)
    }
    guard let start = Int(exactly: offset), let length = Int(exactly: size), start <= end, length <= end - start else {
      throw RetortError(
        .input, "its zip directory should be \(size) bytes at byte \(offset), but the end record is at \(end)",
        at: file.file, remedy: fetchAgain)
    }
    return start..<(start + length)
  }

  /// The offset of the end record: the last one whose comment ends exactly at the end of the file.
  private static func endRecord(of file: BoundedBytes) throws -> Int {
    var position = file.count - 22
    while position >= max(0, file.count - 22 - 0xFFFF) {
      // Check for "P" first: the full check at each of 65,536 offsets would be slow.
      if file.bytes[position] == UInt8(ascii: "P"),
        try file.integer(position, as: UInt32.self, "the zip end record") == 0x0605_4b50,
        try file.integer(position + 20, as: UInt16.self, "the zip end record") == file.count - position - 22
      {
        return position
      }
      position -= 1
    }
    throw RetortError(
      .input, "is a zip archive without its end record: the file is truncated (it has \(file.count) bytes)",
      at: file.file, remedy: fetchAgain)
  }
}
