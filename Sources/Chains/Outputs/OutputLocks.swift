import Foundation
import Platform

/// The locks of all output directories of a chain, with the thread that writes their heartbeats.
///
/// A run takes all or none: if one is taken it releases the others and ends, so that no two runs wait for each other.
final class OutputLocks {
  private let locks: [String: OutputLock]
  private let pulse: Pulse

  /// Takes the locks of these directories; throws as `OutputLock.take` does, and then holds none.
  init(
    _ directories: [String], as holder: LockHolder, breaking: Bool, patience: Double = OutputLock.patience,
    note: (String) -> Void
  ) throws {
    var taken: [String: OutputLock] = [:]
    var ended: Set<String> = []
    do {
      for directory in directories.sorted() {
        taken[directory] = try OutputLock.take(
          directory, as: holder, breaking: breaking, ended: &ended, patience: patience, note: note)
      }
    } catch {
      OutputLocks.release(taken)
      throw error
    }
    locks = taken
    pulse = Pulse(Array(taken.values))
  }

  /// The fence that a writer of this directory checks before renames.
  func fence(of directory: String) -> (any WriteFence)? { locks[directory] }

  /// Releases all locks.
  func release() {
    pulse.stop()
    OutputLocks.release(locks)
  }

  /// Releases in reverse order, since an earlier lock may have created a directory above later ones.
  private static func release(_ locks: [String: OutputLock]) {
    locks.sorted { $0.key > $1.key }.forEach { $0.value.release() }
  }

  deinit { pulse.stop() }

  /// Writes the heartbeats of all locks, independently of the rank's work.
  private final class Pulse: @unchecked Sendable {
    private let condition = NSCondition()
    private var isStopped = false
    private let locks: [OutputLock]

    init(_ locks: [OutputLock]) {
      self.locks = locks
      let thread = Thread { [self] in run() }
      thread.name = "output locks"
      thread.start()
    }

    private func run() {
      // The main thread handles the signals that request a stop.
      var all = sigset_t()
      sigfillset(&all)
      pthread_sigmask(SIG_BLOCK, &all, nil)
      var count = 0
      condition.lock()
      while !isStopped {
        if condition.wait(until: Date(timeIntervalSinceNow: OutputLock.beat)) { continue }
        condition.unlock()
        count += 1
        for lock in locks { lock.giveSign(count) }
        condition.lock()
      }
      condition.unlock()
    }

    func stop() {
      condition.lock()
      isStopped = true
      condition.signal()
      condition.unlock()
    }
  }
}
