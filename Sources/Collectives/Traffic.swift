import Synchronization

/// Bytes that this rank has sent to others, by purpose.
///
/// They are counted at the start of an operation, as the least bytes that it must send: a reduce-scatter or an
/// all-gather of P blocks of n bytes sends (P − 1)·n, an allreduce of n bytes 2·(P − 1)/P·n.
package enum Traffic {
  /// The purpose of a message.
  package enum Purpose: String, Sendable, CaseIterable {
    /// Sums of a student's gradients.
    case gradients
    /// A student's weights.
    case weights
    /// Rows of embedding tables and their gradients.
    case rows
    /// Everything else: teachers, agreements, checkpoints, evaluation.
    case other
  }

  private struct State {
    var purpose = Purpose.other
    var bytes: [Purpose: Int] = [:]
  }
  private static let state = Mutex(State())

  /// Counts the bytes that `body` starts to send under `purpose`.
  package static func counting<T>(_ purpose: Purpose, _ body: () throws -> T) rethrows -> T {
    let outer = state.withLock { state in
      defer { state.purpose = purpose }
      return state.purpose
    }
    defer { state.withLock { $0.purpose = outer } }
    return try body()
  }

  /// Bytes sent since the start of the process, for every purpose.
  package static var sentBytes: [Purpose: Int] {
    let bytes = state.withLock { $0.bytes }
    return Dictionary(uniqueKeysWithValues: Purpose.allCases.map { ($0, bytes[$0] ?? 0) })
  }

  static func sent(_ bytes: Int) {
    if bytes > 0 { state.withLock { $0.bytes[$0.purpose, default: 0] += bytes } }
  }
}
