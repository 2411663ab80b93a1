import Platform

#if canImport(Glibc)
  import Glibc
#endif

/// Allocates blocks from one reserved address range, for one thread at a time: it takes memory from the system only
/// when the range in use grows.
///
///     base                    extent           committed                        capacity
///      | block | free | block |  not yet used  |  not readable, costs no memory  |
///
/// A block comes from the smallest free part that holds it, the lowest of several equal ones; neighbouring free parts
/// are merged. So batches of all lengths share the same memory; free lists by size would keep blocks of every size.
struct Arena {
  /// Block sizes and block starts are multiples of this many bytes, a cache line.
  static let unit = 64
  /// The least growth of the readable part in bytes: a huge page.
  private static let growth = 1 << 21

  private struct Free {
    var start: Int
    var size: Int
  }

  private let base: UnsafeMutableRawPointer
  private let capacity: Int
  /// Free parts below `extent`, by address; no two of them touch, and none touches `extent`.
  private var free: [Free] = []
  /// The end of the last block.
  private var extent = 0
  private var committed = 0
  /// How often the readable part has grown.
  private(set) var growths = 0

  /// Reserves as much address space as the machine has memory.
  ///
  /// - Parameter share: if the process's address space is limited, 1/share of the rest is reserved.
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
      OutOfMemory.end(bytes: size, for: "the address range of tensors")
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

  /// Uninitialised memory of a rounded size; nil if the system refuses more.
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
      // A quarter more than requested, since the order in which blocks are freed differs a little between steps; the
      // system provides the pages only when they are written.
      let whole = (end + committed / 4 + Arena.growth - 1) / Arena.growth * Arena.growth
      let wanted = min(whole, capacity)
      guard end <= wanted, mprotect(base + committed, wanted - committed, PROT_READ | PROT_WRITE) == 0
      else { return nil }
      // Huge pages reduce TLB misses in GEMM and in the optimizer.
      madvise(base + committed, wanted - committed, MADV_HUGEPAGE)
      committed = wanted
      growths += 1
    }
    defer { extent = end }
    return base + extent
  }

  /// Frees a block.
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

  /// Returns the memory of all free parts to the system and keeps their addresses.
  func trim() {
    let page = sysconf(Int32(_SC_PAGESIZE))
    for part in free + [Free(start: extent, size: committed - extent)] {
      let (start, end) = ((part.start + page - 1) / page * page, (part.start + part.size) / page * page)
      if start < end { madvise(base + start, end - start, MADV_DONTNEED) }
    }
  }
}

extension Array {
  /// The first index whose element satisfies a condition that also holds for all later elements.
  fileprivate func partitioningIndex(where holds: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if holds(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
