import Platform
import Tensors

#if canImport(Glibc)
  import Glibc
#endif

/// A file with a block of weights that processes map: a header page, then the block.
///
///     | magic | bytes of the block | checksum of the block | key, 64 characters | zeros to byte 4096 | block |
package enum WeightFile {
  static let headerBytes = 4096
  /// Blocks smaller than this stay in memory.
  private static let leastReleased = 64 << 20
  private static let magic: UInt64 = 0x3130_7367_7774_7472  // "rttwgs01"

  /// Unmaps the file with the last tensor in it.
  private final class Mapping {
    let address: UnsafeMutableRawPointer
    let size: Int
    private let noted: Faults.Mapping

    init(_ address: UnsafeMutableRawPointer, _ size: Int, _ path: String) {
      self.address = address
      self.size = size
      noted = Faults.Mapping(address, bytes: size, path: path)
    }

    deinit { munmap(address, size) }

    /// The memory after the header.
    ///
    /// - Parameter releasesPages: whether its pages are released from this process's memory after each use.
    func block(_ bytes: Int, releasesPages: Bool) -> Storage {
      Storage(borrowing: address + headerBytes, bytes: bytes, owner: self, releasesPages: releasesPages)
    }

    /// The memory for reading. Batch systems sum the memory of the ranks, shared pages included, so unused pages are
    /// released if that is cheap.
    func finished(_ bytes: Int) -> Storage {
      let all = UnsafeRawBufferPointer(start: address, count: size)
      let releasesPages = bytes >= leastReleased && MappedPages.areCheap(all)
      MappedPages.release(all)
      return block(bytes, releasesPages: releasesPages)
    }
  }

  /// Maps the block of a file with this key and size, read-only; nil if there is none or it is incomplete.
  ///
  /// - Parameter verifying: whether to verify the block's checksum.
  package static func map(_ path: String, key: String, bytes: Int, verifying: Bool = true) -> Storage? {
    guard let (descriptor, actual) = try? openRegularFile(path) else { return nil }
    defer { close(descriptor) }
    let size = headerBytes + bytes
    guard actual == size,
      let address = mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0), address != MAP_FAILED
    else { return nil }
    let mapping = Mapping(address, size, path)
    let words = address.assumingMemoryBound(to: UInt64.self)
    let name = UnsafeRawBufferPointer(start: address + 24, count: key.utf8.count)
    guard words[0] == magic, words[1] == UInt64(bytes), name.elementsEqual(key.utf8) else { return nil }
    if verifying, words[2] != checksum(address + headerBytes, bytes) { return nil }
    return mapping.finished(bytes)
  }

  /// Fills a file with this key and returns its block, which is then read-only.
  ///
  /// - Parameters:
  ///   - descriptor: an empty file, open for reading and writing.
  ///   - reserving: whether to allocate the file's space first, since a full disk would crash a write to the mapping.
  /// Throws `.checkpoint` with the system's reason.
  static func make(
    _ descriptor: Int32, key: String, bytes: Int, reserving: Bool, at path: String, _ fill: (Storage) -> Void
  ) throws -> Storage {
    let size = headerBytes + bytes
    guard reserving ? reserve(descriptor, size) : ftruncate(descriptor, off_t(size)) == 0 else {
      throw RetortError(.checkpoint, "no room for \(size) bytes (\(systemErrorText()))", at: path)
    }
    guard let address = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), address != MAP_FAILED else {
      throw RetortError(.checkpoint, "cannot map the file into memory (\(systemErrorText()))", at: path)
    }
    let mapping = Mapping(address, size, path)
    // Huge pages for shared memory, if the system has them, reduce TLB misses in products.
    if !reserving { madvise(address, size, MADV_HUGEPAGE) }
    fill(mapping.block(bytes, releasesPages: true))
    let words = address.assumingMemoryBound(to: UInt64.self)
    (words[1], words[2]) = (UInt64(bytes), checksum(address + headerBytes, bytes))
    UnsafeMutableRawBufferPointer(start: address + 24, count: key.utf8.count).copyBytes(from: key.utf8)
    words[0] = magic
    mprotect(address, size, PROT_READ)
    return mapping.finished(bytes)
  }

  /// Writes zeros from the first byte to the last: this allocates the space before the mapping is written, and makes
  /// the page cache hold the file in large folios, which are mapped thirty times faster than the single pages that
  /// first writes to a mapping create.
  private static func reserve(_ descriptor: Int32, _ size: Int) -> Bool {
    let zeros = [UInt8](repeating: 0, count: 4 << 20)
    var written = 0
    while written < size {
      let count = zeros.withUnsafeBytes {
        pwrite(descriptor, $0.baseAddress, min($0.count, size - written), off_t(written))
      }
      if count < 0, errno == EINTR { continue }
      if count <= 0 { return false }
      written += count
    }
    return true
  }

  /// Creates the file under a temporary name and renames it, so that readers find a complete file.
  ///
  /// It is not flushed: after a power cut a damaged file has a wrong checksum.
  package static func make(_ path: String, key: String, bytes: Int, _ fill: (Storage) -> Void) throws -> Storage {
    let temporary = "\(path).\(getpid()).\(UInt32.random(in: 0 ... .max)).tmp"
    let descriptor = open(temporary, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw RetortError(.checkpoint, "cannot create the file (\(systemErrorText()))", at: path)
    }
    defer { close(descriptor) }
    do {
      let block = try make(descriptor, key: key, bytes: bytes, reserving: true, at: path, fill)
      guard rename(temporary, path) == 0 else {
        throw RetortError(.checkpoint, "cannot rename to the file (\(systemErrorText()))", at: path)
      }
      return block
    } catch {
      unlink(temporary)
      throw error
    }
  }

  /// A 64-bit checksum over every bit and position of the block, in eight independent lanes for speed.
  private static func checksum(_ start: UnsafeMutableRawPointer, _ bytes: Int) -> UInt64 {
    let prime: UInt64 = 0x9e37_79b9_7f4a_7c15
    let words = start.assumingMemoryBound(to: UInt64.self)
    let piece = 1 << 21
    var (a, b, c, d): (UInt64, UInt64, UInt64, UInt64) = (1, 2, 3, 4)
    var (e, f, g, h): (UInt64, UInt64, UInt64, UInt64) = (5, 6, 7, 8)
    for place in stride(from: 0, to: bytes / 8, by: 8) {
      if place % piece == 0, place > 0 {
        MappedPages.release(UnsafeRawBufferPointer(start: start + 8 * (place - piece), count: 8 * piece))
      }
      a = (a ^ words[place]) &* prime
      b = (b ^ words[place + 1]) &* prime
      c = (c ^ words[place + 2]) &* prime
      d = (d ^ words[place + 3]) &* prime
      e = (e ^ words[place + 4]) &* prime
      f = (f ^ words[place + 5]) &* prime
      g = (g ^ words[place + 6]) &* prime
      h = (h ^ words[place + 7]) &* prime
    }
    return [a, b, c, d, e, f, g, h].reduce(0) { RandomStream.mix($0 ^ $1) }
  }
}
