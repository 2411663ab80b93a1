import Platform
import Tensors

#if canImport(Glibc)
  import Glibc
#endif

/// A block of weights as a file that processes map: a page of header, then the block.
///
///     | magic | bytes of the block | checksum of the block | key, 64 characters | zeros to byte 4096 | block |
package enum WeightFile {
  static let headerBytes = 4096
  /// Smaller blocks stay in memory.
  private static let leastLetGo = 64 << 20
  private static let magic: UInt64 = 0x3130_7367_7774_7472  // "rttwgs01"

  /// Unmaps a file when the last tensor in it is gone.
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

    /// The memory behind the header.
    ///
    /// - Parameter isLetGo: whether its pages leave this process's memory between two uses.
    func block(_ bytes: Int, isLetGo: Bool) -> Storage {
      Storage(borrowing: address + headerBytes, bytes: bytes, owner: self, isLetGo: isLetGo)
    }

    /// The memory for reading; batch systems add up what the ranks have in memory, shared or not, so pages that are not
    /// in use are let go where that costs next to nothing.
    func finished(_ bytes: Int) -> Storage {
      let all = UnsafeRawBufferPointer(start: address, count: size)
      let isLetGo = bytes >= leastLetGo && MappedPages.areCheap(all)
      MappedPages.letGo(all)
      return block(bytes, isLetGo: isLetGo)
    }
  }

  /// The block of a file with this key and size, read-only; nil where there is none, or not a whole one.
  ///
  /// - Parameter verifying: whether the block is held against its checksum.
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

  /// Fills a file of this key and returns its block, read-only from then on.
  ///
  /// - Parameters:
  ///   - descriptor: of an empty file, open for reading and writing.
  ///   - reserving: whether its room is asked for first: writing to mapped memory is no place to learn of a full disk.
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
    // Where the system has huge pages for shared memory at all, products take fewer address look-ups.
    if !reserving { madvise(address, size, MADV_HUGEPAGE) }
    fill(mapping.block(bytes, isLetGo: true))
    let words = address.assumingMemoryBound(to: UInt64.self)
    (words[1], words[2]) = (UInt64(bytes), checksum(address + headerBytes, bytes))
    UnsafeMutableRawBufferPointer(start: address + 24, count: key.utf8.count).copyBytes(from: key.utf8)
    words[0] = magic
    mprotect(address, size, PROT_READ)
    return mapping.finished(bytes)
  }

  /// Writes zeros, from the first byte to the last: so the room is there before the mapping is written to, and the
  /// system's cache holds the file in large pieces, which are mapped thirty times faster than the single pages that
  /// first writes to a mapping leave.
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

  /// Makes the file under a temporary name first; whoever opens it by its name finds all of it.
  ///
  /// It is not flushed: what a power cut leaves has another checksum.
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

  /// A 64-bit sum that every bit and every place of the block enters: eight lanes, which a CPU computes side by side.
  private static func checksum(_ start: UnsafeMutableRawPointer, _ bytes: Int) -> UInt64 {
    let prime: UInt64 = 0x9e37_79b9_7f4a_7c15
    let words = start.assumingMemoryBound(to: UInt64.self)
    let piece = 1 << 21
    var (a, b, c, d): (UInt64, UInt64, UInt64, UInt64) = (1, 2, 3, 4)
    var (e, f, g, h): (UInt64, UInt64, UInt64, UInt64) = (5, 6, 7, 8)
    for place in stride(from: 0, to: bytes / 8, by: 8) {
      if place % piece == 0, place > 0 {
        MappedPages.letGo(UnsafeRawBufferPointer(start: start + 8 * (place - piece), count: 8 * piece))
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
