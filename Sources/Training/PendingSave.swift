import Foundation
import Platform

#if canImport(Glibc)
  import Glibc
#endif

/// File work beside training: runs in order on a thread of low priority, which takes the moments in which a rank waits.
///
/// Training waits for it only before the next checkpoint, a stop and the end, where its errors are thrown.
final class PendingSave: @unchecked Sendable {
  // Unchecked: `failure` is used on the queue, and elsewhere only after waiting for the group.
  private let queue = DispatchQueue(label: "retort.checkpoint", qos: .utility)
  private let group = DispatchGroup()
  private var failure: (any Error)?

  /// Queues work; it is skipped if earlier work has failed.
  func start(_ work: @escaping () throws -> Void) {
    let work = Work(work)
    queue.async(group: group) { [self] in
      if failure != nil { return work.drop() }
      // A thread of its own: those of the queue are used for other work too, and keep the priority.
      let done = DispatchSemaphore(value: 0)
      let thread = Thread { [self] in
        // On Linux this is the priority of the calling thread.
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, PendingSave.niceness)
        do { try work.run() } catch { failure = error }
        done.signal()
      }
      thread.start()
      done.wait()
    }
  }

  private static let niceness: Int32 = 10

  /// Waits for all queued work; throws the first error, once.
  func finish() throws {
    // The work itself ticks for the watchdog.
    group.wait()
    defer { failure = nil }
    if let failure { throw failure }
  }

  /// Work whose captured objects are freed when it is done, before `finish` returns: an unfinished directory is removed
  /// with its object.
  private final class Work: @unchecked Sendable {
    // Unchecked: the caller calls `finish` before it uses the captured objects again.
    private var body: (() throws -> Void)?
    init(_ body: @escaping () throws -> Void) { self.body = body }

    func run() throws {
      defer { body = nil }
      try body?()
    }

    func drop() { body = nil }
  }
}
