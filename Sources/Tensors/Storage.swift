import Platform
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// A block of memory from the pool, 64-byte aligned; it returns to the pool with the last tensor that uses it.
package final class Storage: @unchecked Sendable {
  /// The first byte; 64-byte aligned if the memory comes from the pool.
  package let address: UnsafeMutableRawPointer
  /// Usable bytes.
  package let capacity: Int
  /// Whether it is a shared file mapping whose pages `Tensor.whileInMemory` releases after each use.
  package let releasesPages: Bool
  private let isPooled: Bool
  private let owner: AnyObject?

  /// Uninitialised memory for at least this many bytes.
  package init(bytes: Int) {
    capacity = StoragePool.rounded(bytes)
    address = StoragePool.take(capacity)
    isPooled = true
    releasesPages = false
    owner = nil
  }

  /// Memory from elsewhere, such as a mapped file, which `owner` keeps alive.
  ///
  /// - Parameter releasesPages: see the property; only for shared file mappings.
  package init(borrowing address: UnsafeMutableRawPointer, bytes: Int, owner: AnyObject?, releasesPages: Bool = false) {
    self.address = address
    self.releasesPages = releasesPages
    capacity = bytes
    isPooled = false
    self.owner = owner
  }

  /// Zeros from the system instead of the pool, which use memory only once they are written: for weights, which are
  /// created once and often only for their shapes.
  package convenience init(untouchedZeros bytes: Int) {
    let size = max(bytes, 1)
    // MAP_NORESERVE: a model larger than this machine's memory may be inspected without reading most of it.
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    let address = mmap(nil, size, PROT_READ | PROT_WRITE, flags, -1, 0)
    guard let address, address != MAP_FAILED else { OutOfMemory.end(bytes: bytes, for: "weights") }
    self.init(borrowing: address, bytes: size, owner: Mapping(address: address, size: size))
  }

  /// Addresses without memory, for data that is not present: reading or writing them ends the program.
  package convenience init(absent bytes: Int) {
    let size = max(bytes, 1)
    let address = mmap(nil, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let address, address != MAP_FAILED else { OutOfMemory.end(bytes: bytes, for: "the address range of weights") }
    self.init(borrowing: address, bytes: size, owner: Mapping(address: address, size: size))
  }

  /// Unmaps the memory when the storage is freed.
  private final class Mapping {
    let address: UnsafeMutableRawPointer
    let size: Int

    init(address: UnsafeMutableRawPointer, size: Int) {
      self.address = address
      self.size = size
    }

    deinit { munmap(address, size) }
  }

  deinit { if isPooled { StoragePool.give(address, capacity) } }
}

/// Allocates and reuses the memory of tensors, so that a steady training step requests nothing from the system.
///
/// Small blocks have their own arena: a long-lived one would keep two large free parts from merging.
package enum StoragePool {
  private struct State: @unchecked Sendable {
    // With limited address space, tensors leave most of it to everything else.
    var small = Arena(share: 16)
    var large = Arena(share: 2)
    /// The number of blocks that fit into neither arena.
    var outside = 0
    var liveBytes = 0
  }
  private static let state = Mutex(State())
  private static let smallest = 1 << 15

  static func rounded(_ bytes: Int) -> Int { Arena.rounded(bytes) }

  static func take(_ size: Int) -> UnsafeMutableRawPointer {
    // The address is returned as an integer, since a lock's closure must not return pointers.
    let address: UInt = state.withLock { state in
      state.liveBytes += size
      let block = size < smallest ? state.small.take(size) : state.large.take(size)
      if let block { return UInt(bitPattern: block) }
      // With limited address space the reserved range can be full; the system may have memory elsewhere.
      let extra = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
      state.outside += 1
      return extra == MAP_FAILED ? 0 : UInt(bitPattern: extra)
    }
    guard let pointer = UnsafeMutableRawPointer(bitPattern: address) else {
      OutOfMemory.end(bytes: size, for: "tensors, which already use \(grouped(liveBytes - size))")
    }
    return pointer
  }

  static func give(_ address: UnsafeMutableRawPointer, _ size: Int) {
    let address = UInt(bitPattern: address)
    state.withLock { state in
      state.liveBytes -= size
      guard let pointer = UnsafeMutableRawPointer(bitPattern: address) else { return }
      if state.small.holds(pointer) {
        state.small.give(pointer, size)
      } else if state.large.holds(pointer) {
        state.large.give(pointer, size)
      } else {
        munmap(pointer, size)
      }
    }
  }

  /// Returns all unused memory to the system; called between chain steps.
  package static func trim() {
    state.withLock { state in
      state.small.trim()
      state.large.trim()
    }
  }

  /// The number of times the pool has requested memory from the system since the start.
  package static var systemAllocations: Int { state.withLock { $0.small.growths + $0.large.growths + $0.outside } }
  /// The bytes that tensors hold now.
  package static var liveBytes: Int { state.withLock { $0.liveBytes } }
}
