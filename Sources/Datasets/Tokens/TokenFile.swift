import Platform

/// A token file mapped into memory, or its image in memory.
///
/// `TokenFileHeader` checks the sections against the file's size, and `isConsistent` checks the offsets.
final class TokenFile: @unchecked Sendable {
  // Unchecked: everything is written before `init` returns and only read afterwards.
  let header: TokenFileHeader
  let payload: UnsafePointer<Int32>
  let hashes: UnsafePointer<UInt64>
  let offsets: UnsafePointer<Int64>
  let lengths: UnsafePointer<Int32>
  let labels: UnsafePointer<Int32>
  /// The first byte, which the offsets of the header count from.
  private let base: UnsafeRawPointer
  private let mapped: MappedFile?
  /// Holds the folder, so that the file is not removed while it is mapped.
  private let folder: KeyedFolder?
  private let image: UnsafeMutableRawBufferPointer?

  /// Maps a file; nil if it is missing, truncated, of another version, or made for another key.
  ///
  /// - Parameter folder: the folder of the file, held as long as this object lives.
  init?(path: String, key: String, in folder: KeyedFolder? = nil) {
    guard let mapped = try? MappedFile(path), let header = TokenFileHeader(mapped.bytes), header.key == key,
      let base = mapped.bytes.baseAddress
    else { return nil }
    self.mapped = mapped
    self.header = header
    self.base = base
    self.folder = folder
    image = nil
    (payload, hashes, offsets, lengths, labels) = TokenFile.sections(base, header)
  }

  /// Copies the image that a writer made in memory.
  init(image source: [UInt8]) {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: source.count, alignment: 16)
    copy.copyBytes(from: source)
    guard let header = TokenFileHeader(UnsafeRawBufferPointer(copy)), let base = copy.baseAddress else {
      preconditionFailure("the image of a token file must be whole")
    }
    self.header = header
    self.base = UnsafeRawPointer(base)
    mapped = nil
    folder = nil
    image = copy
    (payload, hashes, offsets, lengths, labels) = TokenFile.sections(UnsafeRawPointer(base), header)
  }

  deinit { image?.deallocate() }

  private static func sections(_ base: UnsafeRawPointer, _ header: TokenFileHeader) -> (
    UnsafePointer<Int32>, UnsafePointer<UInt64>, UnsafePointer<Int64>, UnsafePointer<Int32>, UnsafePointer<Int32>
  ) {
    func section<T>(_ offset: Int, _ count: Int, _ type: T.Type) -> UnsafePointer<T> {
      (base + offset).bindMemory(to: type, capacity: count)
    }
    return (
      section(header.payloadOffset, header.payloadWords, Int32.self),
      section(header.hashesOffset, header.count, UInt64.self),
      section(header.offsetsOffset, header.count + 1, Int64.self),
      section(header.lengthsOffset, header.count, Int32.self),
      section(header.labelsOffset, header.count, Int32.self)
    )
  }

  /// Distinguishes this file from another with the same name; empty for an image in memory.
  var inode: String { mapped?.inode ?? "" }

  /// Whether every `parts`-th page, starting with page `part`, and the page table match their checksums.
  ///
  /// Runs at about memory speed; the ranks of a node check different parts.
  func isWhole(part: Int, of parts: Int) -> Bool {
    let table = UnsafeRawBufferPointer(start: base + header.pagesOffset, count: header.pageCount * 4)
    guard Checksum(of: table).value == header.pagesChecksum else { return false }
    for page in stride(from: part, to: header.pageCount, by: parts) {
      let start = header.payloadOffset + page * TokenFileHeader.pageBytes
      let end = min(start + TokenFileHeader.pageBytes, header.pagesOffset)
      let bytes = UnsafeRawBufferPointer(start: base + start, count: end - start)
      let sum = Checksum(of: bytes).value
      // Releases pages that were only checked, so that they do not count as memory of this rank.
      if mapped != nil { MappedPages.release(bytes) }
      if sum != table.loadUnaligned(fromByteOffset: page * 4, as: UInt32.self) { return false }
    }
    return true
  }

  /// Whether the offsets rise from 0 to the payload's length in steps of one or two example lengths and the words of
  /// the targets.
  var isConsistent: Bool {
    guard offsets[0] == 0, offsets[header.count] == header.payloadWords else { return false }
    for index in 0..<header.count {
      let length = Int64(lengths[index])
      let step = offsets[index + 1] &- offsets[index] &- Int64(header.targets.words(length: Int(length)))
      if length <= 0 || length > header.longest || (step != length && step != 2 * length) { return false }
    }
    return true
  }
}
