/// How the ranks of a job divide the student and its teacher.
package struct Layout: Sendable, Hashable {
  /// The part of the student's training state that is sharded over the ranks (ZeRO 0 to 3).
  package enum Sharding: String, Sendable, CaseIterable {
    case none, optimizer, gradients, parameters
  }

  /// Where the teacher's weights are.
  package enum Placement: String, Sendable, CaseIterable {
    /// Whole on every node, mapped by all of its ranks.
    case resident
    /// In parts on the ranks that train.
    case sharded
    /// On dedicated ranks that only teach.
    case dedicated
    /// In a file; each rank has two layers at a time and the head in memory.
    case streamed
  }

  /// How a teacher is split into parts.
  package enum Split: String, Sendable, CaseIterable {
    /// Each layer by heads and inner units.
    case tensor
    /// By layers.
    case pipeline
  }

  /// What the teacher sends to the student for each row.
  package enum Payload: Sendable, Hashable {
    /// All C logits, f32.
    case logits
    /// The state after the last norm, in the teacher's format; the student's rank applies the head.
    case hidden
    /// k logits (4 bytes), their classes (4), and the weight of the rest (4).
    case topK(Int)

    /// Its name in the chain file.
    package var word: String {
      switch self {
      case .logits: "logits"
      case .hidden: "hidden"
      case .topK: "top_k"
      }
    }

    /// Whether the student gets the teacher's complete distribution.
    package var isExact: Bool { if case .topK = self { false } else { true } }

    /// Bytes of a row.
    package func rowBytes(classes: Int, hidden: Int, _ format: PlannedFormat) -> Int {
      switch self {
      case .logits: 4 * classes
      case .hidden: format.bytes * hidden
      case .topK(let k): 8 * k + 4
      }
    }
  }

  /// The student's sharding.
  package var sharding: Sharding
  /// Whether the backward pass recomputes the activations of layers.
  package var checkpointing: Bool
  /// The teacher's placement.
  package var placement: Placement
  /// N: the ranks of a group that shares one teacher; 1 if each rank has all of it.
  package var teacherRanks: Int
  /// How these N ranks divide it.
  package var split: Split
  /// What the teacher sends.
  package var payload: Payload

  /// The chain file's defaults: ZeRO-1, a resident teacher, logits.
  package init(
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
  package var placementText: String {
    switch placement {
    case .resident, .streamed: placement.rawValue
    case .sharded, .dedicated: "\(placement.rawValue) \(teacherRanks) \(split.rawValue)"
    }
  }
}
