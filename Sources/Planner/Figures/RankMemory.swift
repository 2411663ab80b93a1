/// The purpose of memory.
package enum MemoryKind: String, Sendable, CaseIterable {
  /// The student's weights, f32.
  case weights
  /// The student's gradients, f32.
  case gradients
  /// Two moments of each weight, f32.
  case optimizer
  /// Rounded copies of the student's matrices in a bf16 pass.
  case copies
  /// The activations that the student's forward pass keeps for its backward pass.
  case activations
  /// Temporary memory of a pass: of the student's backward pass or of the teacher's pass, whichever is more.
  case working
  /// The teacher's weights, or this rank's part of them.
  case teacher
  /// The teacher's signals in flight.
  case signals
  /// Buffers of the gradient exchange.
  case buffers
  /// Teacher signals that are kept until they are written.
  case cache
  /// The copy of a checkpoint from which its files are written, on the node of rank 0.
  case snapshot
  /// The program, its libraries, MPI, data and prepared products.
  case program
}

/// Bytes of one rank by purpose.
package struct RankMemory: Sendable, Equatable {
  private var bytes: [MemoryKind: Double] = [:]
  /// The part that the ranks of a node share: one copy, however many map it.
  package internal(set) var shared = 0.0

  /// Bytes of a kind; 0 by default.
  package internal(set) subscript(kind: MemoryKind) -> Double {
    get { bytes[kind] ?? 0 }
    set { bytes[kind] = newValue }
  }

  /// All memory of the rank, shared memory included.
  package var total: Double { bytes.values.reduce(0, +) }
  /// The memory of the rank without shared memory.
  package var own: Double { total - shared }

  /// Libraries, MPI's buffers, token data and oneDNN's prepared products: the memory of a rank that trains a tiny
  /// model, measured on two ranks.
  static let program = 58e6
}
