import Dispatch
import Platform

/// Work on files beside training: in the order it was started, on a thread of its own.
///
/// Training waits for it only before the next checkpoint, a stop and the end; what went wrong is thrown then.
final class PendingSave: @unchecked Sendable {
  // Unchecked: `failure` is touched on the queue, and elsewhere only after the group was waited for.
  private let queue = DispatchQueue(label: "retort.checkpoint", qos: .utility)
  private let group = DispatchGroup()
  private var failure: (any Error)?

  /// Starts work behind what was started before; it is left out where that failed.
  func start(_ work: @escaping () throws -> Void) {
    // The caller waits for the end before it touches again what the work uses.
    let work = Unchecked(work)
    queue.async(group: group) { [self] in
      if failure != nil { return }
      do { try work.value() } catch { failure = error }
    }
  }

  /// Returns when all of it is done; throws what went wrong, once.
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
