/// How the ranks of a job share the student and its teacher.
public struct Layout: Sendable, Hashable {
  /// What of the student's training state is divided among the ranks (ZeRO 0 to 3).
  public enum Sharding: String, Sendable, CaseIterable {
    case none, optimizer, gradients, parameters
  }

  /// Where the teacher's weights are.
  public enum Placement: String, Sendable, CaseIterable {
    /// Whole on every node, mapped by all of its ranks.
    case resident
    /// In parts on the ranks that train.
    case sharded
    /// On ranks that do nothing else.
    case dedicated
    /// In a file, of which each rank has two layers at a time and the head.
    case streamed
  }

  /// How a teacher is cut into parts.
  public enum Split: String, Sendable, CaseIterable {
    /// Each layer by heads and inner units.
    case tensor
    /// By layers.
    case pipeline
  }

  /// What moves from teacher to student for each row.
  public enum Payload: Sendable, Hashable {
    /// All C logits, f32.
    case logits
    /// The state behind the last norm, in the teacher's format; the student's side applies the head.
    case hidden
    /// k logits (4 bytes), their classes (4), and the weight of the rest (4).
    case topK(Int)

    /// The chain file's word.
    public var word: String {
      switch self {
      case .logits: "logits"
      case .hidden: "hidden"
      case .topK: "top_k"
      }
    }

    /// Whether the student learns from all that the teacher says.
    public var isExact: Bool { if case .topK = self { false } else { true } }

    /// Bytes of a row.
    public func rowBytes(classes: Int, hidden: Int, _ format: PlannedFormat) -> Int {
      switch self {
      case .logits: 4 * classes
      case .hidden: format.bytes * hidden
      case .topK(let k): 8 * k + 4
      }
    }
  }

  /// Of the student.
  public var sharding: Sharding
  /// Whether a layer's activations are computed again in the backward pass.
  public var checkpointing: Bool
  /// Of the teacher.
  public var placement: Placement
  /// N: the ranks that hold one teacher together; 1 where each has all of it.
  public var teacherRanks: Int
  /// How these N divide it.
  public var split: Split
  /// What the teacher sends.
  public var payload: Payload

  /// The chain file's defaults: ZeRO-1, a resident teacher, logits.
  public init(
    sharding: Sharding = .optimizer, checkpointing: Bool = false, placement: Placement = .resident,
    teacherRanks: Int = 1, split: Split = .tensor, payload: Payload = .logits
  ) {
    self.sharding = sharding
    self.checkpointing = checkpointing
    self.placement = placement
    self.teacherRanks = teacherRanks
    self.split = split
    self.payload = payload
  }

  /// The placement in words, such as "dedicated 64 pipeline".
  public var placementText: String {
    switch placement {
    case .resident, .streamed: placement.rawValue
    case .sharded, .dedicated: "\(placement.rawValue) \(teacherRanks) \(split.rawValue)"
    }
  }
}
