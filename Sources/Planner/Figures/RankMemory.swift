/// What memory is for.
public enum MemoryKind: String, Sendable, CaseIterable {
  /// The student's weights, f32.
  case weights
  /// Of the student's loss, f32.
  case gradients
  /// Two moments of each weight, f32.
  case optimizer
  /// Rounded copies of the student's matrices in a bf16 pass.
  case copies
  /// What the student's forward pass keeps for its backward pass.
  case activations
  /// What a pass has in use besides: of the student's backward pass or of the teacher's pass, whichever is more.
  case working
  /// The teacher's weights, or the part of them that is here.
  case teacher
  /// What the teacher says, on its way.
  case signals
  /// Buffers of the gradient exchange.
  case buffers
  /// Teacher signals that are kept until they are written.
  case cache
  /// The program, its libraries, MPI, data and prepared products.
  case program
}

/// Bytes of one rank by what they are for.
public struct RankMemory: Sendable, Equatable {
  private var bytes: [MemoryKind: Double] = [:]
  /// The part that all ranks of a node have in common: there once, however many map it.
  public internal(set) var shared = 0.0

  /// Bytes of a kind; 0 where there are none.
  public internal(set) subscript(kind: MemoryKind) -> Double {
    get { bytes[kind] ?? 0 }
    set { bytes[kind] = newValue }
  }

  /// Everything that the rank has in memory, what it shares included.
  public var total: Double { bytes.values.reduce(0, +) }
  /// Without what it shares.
  public var own: Double { total - shared }

  /// Libraries, MPI's own buffers, token data and the shapes that oneDNN has prepared: what a rank has in memory that
  /// trains next to nothing, measured on two ranks.
  static let program = 58e6
}
