import CSystem
import Platform

#if canImport(Glibc)
  import Glibc
#endif

/// Memory that all ranks of a node map; it starts as zeros, and only what is written takes memory.
///
/// One rank makes it, the others map it through that rank's descriptor; the system frees it however the ranks end.
package final class NodeMemory {
  /// The first byte, on a page.
  package let base: UnsafeMutableRawPointer
  /// The size in bytes.
  package let bytes: Int
  private static let hugePage = 1 << 21

  private init(base: UnsafeMutableRawPointer, bytes: Int) {
    self.base = base
    self.bytes = bytes
  }

  deinit { munmap(base, bytes) }

  /// Maps new memory on all ranks of a node; collective.
  ///
  /// - Returns: the same memory on every rank, or nil on every rank if one of them cannot map it.
  package static func make(bytes: Int, on node: any Communicator) throws -> NodeMemory? {
    // A huge page would be mostly unused by a few counters.
    let unit = bytes < 2 * hugePage ? 4096 : hugePage
    let size = (max(bytes, 1) + unit - 1) / unit * unit
    if node.size == 1 {
      guard let own = map(size, -1, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE) else { return nil }
      if unit == hugePage { madvise(own.base, own.bytes, 14) }  // MADV_HUGEPAGE
      return own
    }
    let descriptor = node.isFirst ? rts_create_memory("retort-student", UInt64(size)) : -1
    defer { if descriptor >= 0 { close(descriptor) } }
    let path = try node.broadcast(text: descriptor >= 0 ? "/proc/\(getpid())/fd/\(descriptor)" : "")
    var memory: NodeMemory?
    if node.isFirst {
      memory = descriptor >= 0 ? map(size, descriptor, MAP_SHARED) : nil
    } else if !path.isEmpty {
      let opened = open(path, O_RDWR | O_CLOEXEC)
      if opened >= 0 {
        var info = stat()
        // Another process may have this number in another name space of processes.
        if fstat(opened, &info) == 0, Int(info.st_size) == size { memory = map(size, opened, MAP_SHARED) }
        close(opened)
      }
    }
    // Also keeps the first rank's descriptor open until all ranks have mapped it.
    guard try node.all(memory != nil), let memory else { return nil }
    return try isSame(memory, on: node) ? memory : nil
  }

  private static func map(_ size: Int, _ descriptor: Int32, _ flags: Int32) -> NodeMemory? {
    guard let base = mmap(nil, size, PROT_READ | PROT_WRITE, flags, descriptor, 0), base != MAP_FAILED else {
      return nil
    }
    return NodeMemory(base: base, bytes: size)
  }

  /// Whether a number that the first rank writes arrives on all ranks.
  private static func isSame(_ memory: NodeMemory, on node: any Communicator) throws -> Bool {
    let word = memory.base.assumingMemoryBound(to: UInt64.self)
    let key = UInt64.random(in: 1 ... .max)
    if node.isFirst { word.pointee = key }
    let text = try node.broadcast(text: node.isFirst ? String(key) : "")
    let isThere = try node.all(String(word.pointee) == text)
    if node.isFirst { word.pointee = 0 }
    try node.barrier()
    return isThere
  }

  /// Asks the system to put a part that has been written into huge pages.
  package func useHugePages(_ part: Range<Int>) {
    let first = (part.lowerBound + NodeMemory.hugePage - 1) / NodeMemory.hugePage * NodeMemory.hugePage
    let end = part.upperBound / NodeMemory.hugePage * NodeMemory.hugePage
    if first < end { madvise(base + first, end - first, 25) }  // MADV_COLLAPSE
  }
}
