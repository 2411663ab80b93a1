import CFaults
import Synchronization

/// What this process is doing, for the watchdog's thread: the phase, whether it advances, and what it waits for.
///
/// `Trace` sets the phase as work enters and leaves it; long work without a span calls `tick`.
package enum Activity {
  /// What a process waits for.
  package enum Wait: UInt8, Sendable {
    /// It does not wait.
    case none
    /// Other ranks of its job.
    case peers
    /// Something outside the job, such as a terminal, the reader of a pipe, or another job's lock.
    case outside
  }

  /// The state at one moment.
  package struct Snapshot: Equatable, Sendable {
    /// The innermost phase, such as "plan and data" or "step 12".
    package var phase: String
    /// A counter that grows whenever work advances.
    package var ticks: UInt64
    /// What the process waits for; a waiting process cannot advance by itself.
    package var wait: Wait
    /// Whether the main thread is in uninterruptible sleep in the kernel, as while it waits for a disk.
    package var isBlocked: Bool

    /// Makes a state from reported values.
    package init(phase: String, ticks: UInt64, wait: Wait = .none, isBlocked: Bool = false) {
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
  package static var now: Snapshot {
    let outside = outsideWaits.load(ordering: .relaxed) > 0
    let peers = peerWaits.load(ordering: .relaxed) > 0
    return Snapshot(
      phase: phase.withLock { $0 }, ticks: ticks.load(ordering: .relaxed),
      wait: outside ? .outside : peers ? .peers : .none)
  }

  /// Records that work has advanced.
  package static func tick() { _ = ticks.wrappingAdd(1, ordering: .relaxed) }

  /// Sets the phase while the body runs, and restores the previous one afterwards.
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

  /// Marks the body as waiting for other ranks of the job.
  @inlinable
  package static func waitingForPeers<T>(_ body: () throws -> T) rethrows -> T {
    begin(.peers)
    defer { end(.peers) }
    return try body()
  }

  /// Marks the body as waiting for something outside the job, for any length of time.
  @inlinable
  package static func waitingOutside<T>(_ body: () throws -> T) rethrows -> T {
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
