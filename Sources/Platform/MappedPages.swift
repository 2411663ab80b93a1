#if canImport(Glibc)
  import Glibc
#endif

/// The memory of shared file mappings, which can be released at any time, since the file keeps the bytes.
package enum MappedPages {
  private static let page = sysconf(Int32(_SC_PAGESIZE))

  /// The pages that lie completely inside some bytes.
  private static func whole(_ bytes: UnsafeRawBufferPointer) -> (start: UnsafeMutableRawPointer, count: Int)? {
    guard let base = bytes.baseAddress else { return nil }
    let first = (UInt(bitPattern: base) + UInt(page) - 1) / UInt(page) * UInt(page)
    let end = (UInt(bitPattern: base) + UInt(bytes.count)) / UInt(page) * UInt(page)
    guard first < end, let start = UnsafeMutableRawPointer(bitPattern: first) else { return nil }
    return (start, Int(end - first))
  }

  /// Releases the pages from this process's memory; the next access reads each from the page cache or the disk.
  ///
  /// - Parameter bytes: a part of a shared file mapping. Private memory would lose its content.
  package static func release(_ bytes: UnsafeRawBufferPointer) {
    if let (start, count) = whole(bytes) { madvise(start, count, MADV_DONTNEED) }
  }

  /// Maps the pages into this process's memory with one call instead of one page fault for each few of them.
  ///
  /// Kernels before Linux 5.14 ignore the call; the accesses then fault the pages in.
  package static func populate(_ bytes: UnsafeRawBufferPointer) {
    let populateForReading: Int32 = 22  // MADV_POPULATE_READ, which older headers lack
    if let (start, count) = whole(bytes) { madvise(start, count, populateForReading) }
  }

  /// Asks the system to read the pages from the disk and does not wait for them.
  package static func prefetch(_ bytes: UnsafeRawBufferPointer) {
    if let (start, count) = whole(bytes) { madvise(start, count, MADV_WILLNEED) }
  }

  /// Whether releasing pages and mapping them again takes less than 25 µs per MiB, measured on some of these bytes.
  ///
  /// It does if the page cache holds the file in large folios (2 to 9 µs on ext4 of Linux 6.18), and does not if it
  /// holds single pages of 4 KiB (100 µs there, 170 µs in a tmpfs).
  package static func areCheap(_ bytes: UnsafeRawBufferPointer) -> Bool {
    let part = UnsafeRawBufferPointer(rebasing: bytes.prefix(32 << 20))
    let clock = ContinuousClock()
    let times = (0..<3).map { _ -> Double in
      populate(part)
      return clock.measure {
        release(part)
        populate(part)
        // One access per page, for kernels that ignore the call.
        var sum: UInt8 = 0
        for place in stride(from: 0, to: part.count, by: page) { sum &+= part[place] }
        withExtendedLifetime(sum) {}
      }.seconds
    }
    return (times.min() ?? 1) < 25e-6 * Double(part.count) / Double(1 << 20)
  }
}
