import Foundation
import Platform

/// The locks of all output directories of a chain, with the thread that gives signs of life for them.
///
/// All are taken at once or none: a run that finds one taken gives the others back and ends, so that no two runs wait
/// for each other.
final class OutputLocks {
  private let locks: [String: OutputLock]
  private let pulse: Pulse

  /// Takes the locks of these directories; throws what `OutputLock.take` throws, with none taken.
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

  /// What a writer of this directory asks before it renames.
  func fence(of directory: String) -> (any WriteFence)? { locks[directory] }

  /// Gives all directories back.
  func release() {
    pulse.stop()
    OutputLocks.release(locks)
  }

  /// In the reverse order of taking: the lock that was taken first may have made a directory above the others'.
  private static func release(_ locks: [String: OutputLock]) {
    locks.sorted { $0.key > $1.key }.forEach { $0.value.release() }
  }

  deinit { pulse.stop() }

  /// Gives a sign of life for each lock at every beat, whatever the rank is computing or waiting for.
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
      // Signals that ask the run to stop are the main thread's.
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
