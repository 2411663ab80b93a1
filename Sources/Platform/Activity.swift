import CFaults
import Synchronization

/// What this process is doing, for a watcher on another thread: the phase, and whether it advances.
///
/// `Trace` names the phases as the work enters and leaves them; work that takes long without a span calls `tick`.
public enum Activity {
  /// A moment's state.
  public struct Snapshot: Equatable, Sendable {
    /// The innermost phase, such as "plan and data" or "step 12".
    public var phase: String
    /// Grows whenever work advances.
    public var ticks: UInt64
    /// Whether the process waits for its peers, or for a disk to take what was written: it cannot advance by itself.
    public var isWaiting: Bool

    /// A state as another process reported it.
    public init(phase: String, ticks: UInt64, isWaiting: Bool) {
      self.phase = phase
      self.ticks = ticks
      self.isWaiting = isWaiting
    }
  }

  private static let phase = Mutex("start")
  private static let ticks = Atomic<UInt64>(0)
  private static let waits = Atomic<Int>(0)

  /// What the process is doing now; callable on every thread.
  public static var now: Snapshot {
    Snapshot(
      phase: phase.withLock { $0 }, ticks: ticks.load(ordering: .relaxed),
      isWaiting: waits.load(ordering: .relaxed) > 0)
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

  /// Says that the body waits for peers or for a disk.
  @inlinable
  public static func waiting<T>(_ body: () throws -> T) rethrows -> T {
    beginWaiting()
    defer { endWaiting() }
    return try body()
  }

  @usableFromInline static func beginWaiting() { _ = waits.wrappingAdd(1, ordering: .relaxed) }

  @usableFromInline static func endWaiting() {
    _ = waits.wrappingSubtract(1, ordering: .relaxed)
    tick()
  }
}
