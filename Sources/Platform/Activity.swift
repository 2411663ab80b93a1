import CFaults
import Synchronization

/// What this process is doing, for a watcher on another thread: the phase, whether it advances, and for whom it waits.
///
/// `Trace` names the phases as the work enters and leaves them; work that takes long without a span calls `tick`.
public enum Activity {
  /// For whom a process waits.
  public enum Wait: UInt8, Sendable {
    /// Nobody: it works, or should.
    case none
    /// Other ranks of its job.
    case peers
    /// Something outside of the job, such as who types its input, who reads its output, or another job's lock.
    case outside
  }

  /// A moment's state.
  public struct Snapshot: Equatable, Sendable {
    /// The innermost phase, such as "plan and data" or "step 12".
    public var phase: String
    /// Grows whenever work advances.
    public var ticks: UInt64
    /// For whom the process waits; while it does it cannot advance by itself.
    public var wait: Wait
    /// Whether the main thread is in the kernel and cannot be interrupted, as it is while it waits for a disk.
    public var isBlocked: Bool

    /// A state as another process reported it.
    public init(phase: String, ticks: UInt64, wait: Wait = .none, isBlocked: Bool = false) {
      self.phase = phase
      self.ticks = ticks
      self.wait = wait
      self.isBlocked = isBlocked
    }
  }

  private static let phase = Mutex("start")
  private static let ticks = Atomic<UInt64>(0)
  private static let peerWaits = Atomic<Int>(0)
  private static let outsideWaits = Atomic<Int>(0)

  /// What the process is doing now; callable on every thread.
  public static var now: Snapshot {
    let outside = outsideWaits.load(ordering: .relaxed) > 0
    let peers = peerWaits.load(ordering: .relaxed) > 0
    return Snapshot(
      phase: phase.withLock { $0 }, ticks: ticks.load(ordering: .relaxed),
      wait: outside ? .outside : peers ? .peers : .none)
  }

  /// Says that work has advanced.
  public static func tick() { _ = ticks.wrappingAdd(1, ordering: .relaxed) }

  /// Names what the body does; the phase before it comes back afterwards.
  static func during<T>(_ name: @autoclosure () -> String, _ body: () throws -> T) rethrows -> T {
    tick()
    let name = name()
    let outer = phase.withLock { current in
      defer { current = name }
      rtk_faults_set_phase(name)
      return current
    }
    defer {
      phase.withLock {
        $0 = outer
        rtk_faults_set_phase(outer)
      }
      tick()
    }
    return try body()
  }

  /// Says that the body waits for other ranks of the job.
  @inlinable
  public static func waitingForPeers<T>(_ body: () throws -> T) rethrows -> T {
    begin(.peers)
    defer { end(.peers) }
    return try body()
  }

  /// Says that the body waits for something outside of the job, for as long as that takes.
  @inlinable
  public static func waitingOutside<T>(_ body: () throws -> T) rethrows -> T {
    begin(.outside)
    defer { end(.outside) }
    return try body()
  }

  @usableFromInline static func begin(_ wait: Wait) {
    if wait == .peers {
      _ = peerWaits.wrappingAdd(1, ordering: .relaxed)
    } else {
      _ = outsideWaits.wrappingAdd(1, ordering: .relaxed)
    }
  }

  @usableFromInline static func end(_ wait: Wait) {
    if wait == .peers {
      _ = peerWaits.wrappingSubtract(1, ordering: .relaxed)
    } else {
      _ = outsideWaits.wrappingSubtract(1, ordering: .relaxed)
    }
    tick()
  }
}
