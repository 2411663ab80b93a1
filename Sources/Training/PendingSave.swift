import Dispatch
import Platform

/// Work on files that goes on beside training: one at a time, on a thread of its own.
///
/// Training waits for it only before the next save, a stop and the end; what went wrong is thrown then.
final class PendingSave: @unchecked Sendable {
  // Unchecked: `failure` is written on the queue, and read after the group was waited for.
  private let queue = DispatchQueue(label: "retort.checkpoint", qos: .utility)
  private let group = DispatchGroup()
  private var failure: (any Error)?

  /// Starts work that one thread does alone; call `finish` first.
  func start(_ work: @escaping () throws -> Void) {
    // The caller waits for the end before it touches again what the work uses.
    let work = Unchecked(work)
    queue.async(group: group) { [self] in
      do { try work.value() } catch { failure = error }
    }
  }

  /// Returns when nothing is under way; throws what the work threw, once.
  func finish() throws {
    // The work itself says that it advances.
    group.wait()
    defer { failure = nil }
    if let failure { throw failure }
  }

  private struct Unchecked<T>: @unchecked Sendable {
    let value: T
    init(_ value: T) { self.value = value }
  }
}
