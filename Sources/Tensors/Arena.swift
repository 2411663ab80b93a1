import Platform

#if canImport(Glibc)
  import Glibc
#endif

/// Blocks of one reserved range of addresses, for one thread at a time: memory is taken from the system when the range
/// in use grows, and never otherwise.
///
///     base                    extent           committed                        capacity
///      | block | free | block |  not yet used  |  not readable, costs no memory  |
///
/// A block comes from the smallest free part that holds it, the lowest where there are several; neighbouring free parts
/// become one. So batches of every length share the same memory, which blocks kept by size would not.
struct Arena {
  /// Bytes to which blocks are rounded and at whose multiples they start: a cache line.
  static let unit = 64
  /// Bytes by which the readable part grows at least: a huge page.
  private static let growth = 1 << 21

  private struct Free {
    var start: Int
    var size: Int
  }

  private let base: UnsafeMutableRawPointer
  private let capacity: Int
  /// Free parts below `extent`, by address; no two of them touch, and none touches `extent`.
  private var free: [Free] = []
  /// Where the last block ends.
  private var extent = 0
  private var committed = 0
  /// How often the readable part has grown.
  private(set) var growths = 0

  /// Reserves addresses for as many bytes as the machine has memory.
  ///
  /// - Parameter share: where the process's addresses are limited, only one in so many of those left is reserved.
  init(share: Int = 2) {
    var size = max(1 << 30, sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)))
    if let remaining = MemoryLimits.remainingAddresses {
      let libraries = LinearAlgebraLibrary.threadBytes * ThreadTeam.size
      let left = max(0, remaining - libraries) / share
      size = min(size, max(Arena.growth * 2, left / Arena.growth * Arena.growth))
    }
    var reserved = mmap(nil, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    while reserved == MAP_FAILED, size > Arena.growth {
      size /= 2
      reserved = mmap(nil, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    }
    guard let address = reserved, address != MAP_FAILED else {
      OutOfMemory.end(bytes: size, for: "the addresses of tensors")
    }
    // The range starts on a huge page; the addresses before it are not used.
    let skipped = -Int(bitPattern: address) & (Arena.growth - 1)
    base = address + skipped
    capacity = size - skipped
  }

  /// Whether an address is in this range.
  func holds(_ address: UnsafeMutableRawPointer) -> Bool { address >= base && address < base + capacity }

  /// The rounded size of a block that holds this many bytes.
  static func rounded(_ bytes: Int) -> Int { (max(bytes, 1) + unit - 1) / unit * unit }

  /// Memory of a rounded size, its content undefined; nil when the system gives no more.
  mutating func take(_ size: Int) -> UnsafeMutableRawPointer? {
    var best: Int?
    for (index, part) in free.enumerated() where part.size >= size {
      if best.map({ part.size < free[$0].size }) ?? true { best = index }
    }
    guard let best else { return extend(size) }
    let start = free[best].start
    if free[best].size == size {
      free.remove(at: best)
    } else {
      free[best].start += size
      free[best].size -= size
    }
    return base + start
  }

  private mutating func extend(_ size: Int) -> UnsafeMutableRawPointer? {
    let end = extent + size
    if end > committed {
      // A quarter more than is asked for, since the order in which blocks come back may differ a little from step to
      // step; it takes no memory until it is written to.
      let whole = (end + committed / 4 + Arena.growth - 1) / Arena.growth * Arena.growth
      let wanted = min(whole, capacity)
      guard end <= wanted, mprotect(base + committed, wanted - committed, PROT_READ | PROT_WRITE) == 0
      else { return nil }
      // Huge pages: fewer address look-ups in GEMM and in the optimizer.
      madvise(base + committed, wanted - committed, MADV_HUGEPAGE)
      committed = wanted
      growths += 1
    }
    defer { extent = end }
    return base + extent
  }

  /// Takes a block back.
  mutating func give(_ address: UnsafeMutableRawPointer, _ size: Int) {
    var part = Free(start: address - base, size: size)
    var index = free.partitioningIndex { $0.start > part.start }
    if index < free.count, part.start + part.size == free[index].start {
      part.size += free[index].size
      free.remove(at: index)
    }
    if index > 0, free[index - 1].start + free[index - 1].size == part.start {
      index -= 1
      part = Free(start: free[index].start, size: free[index].size + part.size)
      free.remove(at: index)
    }
    if part.start + part.size == extent {
      extent = part.start
    } else {
      free.insert(part, at: index)
    }
  }

  /// Gives the memory of all free parts back to the system; their addresses stay.
  func trim() {
    let page = sysconf(Int32(_SC_PAGESIZE))
    for part in free + [Free(start: extent, size: committed - extent)] {
      let (start, end) = ((part.start + page - 1) / page * page, (part.start + part.size) / page * page)
      if start < end { madvise(base + start, end - start, MADV_DONTNEED) }
    }
  }
}

extension Array {
  /// The first index whose element fulfils a condition that holds for all elements behind it too.
  fileprivate func partitioningIndex(where holds: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if holds(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
