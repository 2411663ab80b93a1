import Dispatch
import Platform

/// File work beside training: runs in order on a separate thread.
///
/// Training waits for it only before the next checkpoint, a stop and the end, where its errors are thrown.
final class PendingSave: @unchecked Sendable {
  // Unchecked: `failure` is used on the queue, and elsewhere only after waiting for the group.
  private let queue = DispatchQueue(label: "retort.checkpoint", qos: .utility)
  private let group = DispatchGroup()
  private var failure: (any Error)?

  /// Queues work; it is skipped if earlier work has failed.
  func start(_ work: @escaping () throws -> Void) {
    // The caller calls `finish` before it uses the captured objects again.
    let work = Unchecked(work)
    queue.async(group: group) { [self] in
      if failure != nil { return }
      do { try work.value() } catch { failure = error }
    }
  }

  /// Waits for all queued work; throws the first error, once.
  func finish() throws {
    // The work itself ticks for the watchdog.
    group.wait()
    defer { failure = nil }
    if let failure { throw failure }
  }

  private struct Unchecked<T>: @unchecked Sendable {
    let value: T
    init(_ value: T) { self.value = value }
  }
}
