#if canImport(Glibc)
  import Glibc
#endif

/// The memory of files that are mapped shared: it can be let go at any time, for the file keeps the bytes.
public enum MappedPages {
  private static let page = sysconf(Int32(_SC_PAGESIZE))

  /// The whole pages among some bytes.
  private static func whole(_ bytes: UnsafeRawBufferPointer) -> (start: UnsafeMutableRawPointer, count: Int)? {
    guard let base = bytes.baseAddress else { return nil }
    let first = (UInt(bitPattern: base) + UInt(page) - 1) / UInt(page) * UInt(page)
    let end = (UInt(bitPattern: base) + UInt(bytes.count)) / UInt(page) * UInt(page)
    guard first < end, let start = UnsafeMutableRawPointer(bitPattern: first) else { return nil }
    return (start, Int(end - first))
  }

  /// Takes the pages out of this process's memory; the next access brings each back from the system's cache or disk.
  ///
  /// - Parameter bytes: of a shared mapping of a file, and of nothing else: private memory would lose its content.
  public static func letGo(_ bytes: UnsafeRawBufferPointer) {
    if let (start, count) = whole(bytes) { madvise(start, count, MADV_DONTNEED) }
  }

  /// Brings the pages into this process's memory, in one call instead of a fault for each few of them.
  ///
  /// Where the kernel (before Linux 5.14) cannot, nothing happens, and accesses bring them.
  public static func bring(_ bytes: UnsafeRawBufferPointer) {
    let populateForReading: Int32 = 22  // MADV_POPULATE_READ, which older headers lack
    if let (start, count) = whole(bytes) { madvise(start, count, populateForReading) }
  }

  /// Asks the system to read the pages from the disk, without waiting for them.
  public static func prefetch(_ bytes: UnsafeRawBufferPointer) {
    if let (start, count) = whole(bytes) { madvise(start, count, MADV_WILLNEED) }
  }

  /// Whether letting pages go and bringing them back takes less than 25 µs a MiB here, tried on some of these bytes.
  ///
  /// It does where the system's cache holds the file in large pieces (2 to 9 µs on ext4 of Linux 6.18), and does not
  /// where it holds single pages of 4 KiB (100 µs there, 170 in a tmpfs).
  public static func areCheap(_ bytes: UnsafeRawBufferPointer) -> Bool {
    let part = UnsafeRawBufferPointer(rebasing: bytes.prefix(32 << 20))
    let clock = ContinuousClock()
    let times = (0..<3).map { _ -> Double in
      bring(part)
      return clock.measure {
        letGo(part)
        bring(part)
        // One access a page, for kernels that did not bring them.
        var sum: UInt8 = 0
        for place in stride(from: 0, to: part.count, by: page) { sum &+= part[place] }
        withExtendedLifetime(sum) {}
      }.seconds
    }
    return (times.min() ?? 1) < 25e-6 * Double(part.count) / Double(1 << 20)
  }
}
