import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// A block of memory from the pool, 64-byte aligned; it goes back to the pool when the last tensor on it is gone.
public final class Storage: @unchecked Sendable {
  /// The first byte; 64-byte aligned where the memory is the pool's.
  public let address: UnsafeMutableRawPointer
  /// Usable bytes.
  public let capacity: Int
  private let isPooled: Bool
  private let owner: AnyObject?

  /// Uninitialised memory for at least this many bytes.
  public init(bytes: Int) {
    capacity = StoragePool.sizeClass(bytes)
    address = StoragePool.take(capacity)
    isPooled = true
    owner = nil
  }

  /// Memory of somebody else's (a mapped file, say), which `owner` keeps alive.
  public init(borrowing address: UnsafeMutableRawPointer, bytes: Int, owner: AnyObject?) {
    self.address = address
    capacity = bytes
    isPooled = false
    self.owner = owner
  }

  /// Zeros that take no memory until they are written to, from the system and not from the pool: for weights, which
  /// are made once and often only to learn their shapes.
  convenience init(untouchedZeros bytes: Int) {
    let size = max(bytes, 1)
    let address = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    precondition(address != nil && address != MAP_FAILED, "out of memory: \(bytes) bytes")
    self.init(borrowing: address!, bytes: size, owner: Mapping(address: address!, size: size))
  }

  /// Unmaps when the storage is gone.
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

/// Keeps freed blocks by size, so that a steady training step allocates nothing from the system.
///
/// Sizes are rounded up to one of eight steps per power of two: at most 12.5 % is wasted, and batches of
/// slightly different length meet the same blocks again.
public enum StoragePool {
  private struct State {
    var free: [Int: [UInt]] = [:]
    var systemAllocations = 0
    var liveBytes = 0
    var peakBytes = 0
    var pooledBytes = 0
  }
  private static let state = Mutex(State())

  static func sizeClass(_ bytes: Int) -> Int {
    let least = max(bytes, 256)
    let step = max(64, 1 << (Int.bitWidth - 1 - least.leadingZeroBitCount - 3))
    return (least + step - 1) / step * step
  }

  static func take(_ size: Int) -> UnsafeMutableRawPointer {
    let reused: UInt? = state.withLock { state in
      state.liveBytes += size
      state.peakBytes = max(state.peakBytes, state.liveBytes)
      guard let address = state.free[size]?.popLast() else {
        state.systemAllocations += 1
        return nil
      }
      state.pooledBytes -= size
      return address
    }
    if let reused { return UnsafeMutableRawPointer(bitPattern: reused)! }
    var address: UnsafeMutableRawPointer?
    let failed = posix_memalign(&address, size >= 1 << 21 ? 1 << 21 : 64, size)
    precondition(failed == 0 && address != nil, "out of memory: \(size) bytes")
    // Large blocks in huge pages: fewer address look-ups in GEMM and in the optimizer.
    if size >= 1 << 21 { madvise(address, size, MADV_HUGEPAGE) }
    return address!
  }

  static func give(_ address: UnsafeMutableRawPointer, _ size: Int) {
    state.withLock { state in
      state.liveBytes -= size
      state.pooledBytes += size
      state.free[size, default: []].append(UInt(bitPattern: address))
    }
  }

  /// Gives all unused blocks back to the system, as between two steps of a chain.
  public static func trim() {
    let blocks = state.withLock { state -> [UInt] in
      let blocks = state.free.values.flatMap { $0 }
      state.free = [:]
      state.pooledBytes = 0
      return blocks
    }
    blocks.forEach { free(UnsafeMutableRawPointer(bitPattern: $0)) }
  }

  /// How often the pool had to ask the system for memory since the start.
  public static var systemAllocations: Int { state.withLock { $0.systemAllocations } }
  /// The most bytes that tensors held at one time.
  public static var peakBytes: Int { state.withLock { $0.peakBytes } }
}
