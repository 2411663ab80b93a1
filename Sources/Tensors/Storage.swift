import Platform
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
  /// Whether it is a shared mapping of a file, whose pages `Tensor.letGo` gives back between two uses.
  public let isLetGo: Bool
  private let isPooled: Bool
  private let owner: AnyObject?

  /// Uninitialised memory for at least this many bytes.
  public init(bytes: Int) {
    capacity = StoragePool.rounded(bytes)
    address = StoragePool.take(capacity)
    isPooled = true
    isLetGo = false
    owner = nil
  }

  /// Memory of somebody else's (a mapped file, say), which `owner` keeps alive.
  ///
  /// - Parameter isLetGo: see the property; for shared mappings of files alone.
  public init(borrowing address: UnsafeMutableRawPointer, bytes: Int, owner: AnyObject?, isLetGo: Bool = false) {
    self.address = address
    self.isLetGo = isLetGo
    capacity = bytes
    isPooled = false
    self.owner = owner
  }

  /// Zeros that take no memory until they are written to, from the system and not from the pool: for weights, which
  /// are made once and often only to learn their shapes.
  public convenience init(untouchedZeros bytes: Int) {
    let size = max(bytes, 1)
    // No reserve: a model that is larger than this machine may be looked at here, and most of it never read.
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    let address = mmap(nil, size, PROT_READ | PROT_WRITE, flags, -1, 0)
    guard let address, address != MAP_FAILED else { OutOfMemory.end(bytes: bytes, for: "weights") }
    self.init(borrowing: address, bytes: size, owner: Mapping(address: address, size: size))
  }

  /// Addresses without memory, for the place of something that is elsewhere: who reads or writes them ends the program.
  public convenience init(absent bytes: Int) {
    let size = max(bytes, 1)
    let address = mmap(nil, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let address, address != MAP_FAILED else { OutOfMemory.end(bytes: bytes, for: "the addresses of weights") }
    self.init(borrowing: address, bytes: size, owner: Mapping(address: address, size: size))
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

/// Gives tensors their memory and takes it back, so that a steady training step asks the system for nothing.
///
/// Small blocks have an arena of their own: one of them, long alive, would keep two large free parts from becoming one.
public enum StoragePool {
  private struct State: @unchecked Sendable {
    // Where addresses are limited, tensors leave most of them to everything else.
    var small = Arena(share: 16)
    var large = Arena(share: 2)
    /// How often a block had no place in either.
    var outside = 0
    var liveBytes = 0
    var peakBytes = 0
  }
  private static let state = Mutex(State())
  private static let smallest = 1 << 15

  static func rounded(_ bytes: Int) -> Int { Arena.rounded(bytes) }

  static func take(_ size: Int) -> UnsafeMutableRawPointer {
    // The addresses go through integers, since a lock's closure must not hand out pointers.
    let address: UInt = state.withLock { state in
      state.liveBytes += size
      state.peakBytes = max(state.peakBytes, state.liveBytes)
      let block = size < smallest ? state.small.take(size) : state.large.take(size)
      if let block { return UInt(bitPattern: block) }
      // The range that was reserved is full, where addresses are limited; the system may have others.
      let extra = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
      state.outside += 1
      return extra == MAP_FAILED ? 0 : UInt(bitPattern: extra)
    }
    guard let pointer = UnsafeMutableRawPointer(bitPattern: address) else {
      OutOfMemory.end(bytes: size, for: "tensors, which have \(grouped(liveBytes - size)) already")
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

  /// Gives all unused memory back to the system, as between two steps of a chain.
  public static func trim() {
    state.withLock { state in
      state.small.trim()
      state.large.trim()
    }
  }

  /// How often the pool had to ask the system for memory since the start.
  public static var systemAllocations: Int { state.withLock { $0.small.growths + $0.large.growths + $0.outside } }
  /// Begins to look for the most bytes anew, from those that tensors hold now.
  public static func restartPeak() { state.withLock { $0.peakBytes = $0.liveBytes } }
  /// The most bytes that tensors held at one time.
  public static var peakBytes: Int { state.withLock { $0.peakBytes } }
  /// The bytes that tensors hold now.
  public static var liveBytes: Int { state.withLock { $0.liveBytes } }
}
