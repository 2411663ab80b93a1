import Layers
import Tensors

/// What the objectives of a step read of a teacher.
public struct SignalNeeds: Sendable, Equatable {
  /// Whether its logits are read.
  public var logits: Bool
  /// The values inside it that are read, and how much of each.
  public var points: [PassPoint: Reading]

  /// Logits, and nothing inside the model unless said otherwise.
  public init(logits: Bool = true, points: [PassPoint: Reading] = [:]) {
    self.logits = logits
    self.points = points
  }

  /// Logits alone: what every teacher can give from everywhere.
  public static let logitsOnly = SignalNeeds()

  /// Whether values inside the model are read, which a teacher gives only from this rank's node.
  public var areInner: Bool { !points.isEmpty }

  /// Reads more of a point.
  mutating func add(_ point: PassPoint, _ reading: Reading) { points[point] = max(points[point] ?? .nothing, reading) }

  /// What either reads.
  func union(_ other: SignalNeeds) -> SignalNeeds {
    SignalNeeds(logits: logits || other.logits, points: points.merging(other.points, uniquingKeysWith: max))
  }
}

/// What a teacher says of a batch: plain tensors, in which no gradient flows.
public struct TeacherSignals: Sendable {
  /// Its logits of the rows of the loss; nil where no objective reads them.
  public var logits: TeacherLogits?
  /// Values inside it, in the format of its pass: [T, …], or [B, …] of what is read of first tokens alone.
  public var values: [PassPoint: Tensor]

  /// Some logits, and nothing inside the model unless said otherwise.
  public init(_ logits: TeacherLogits?, values: [PassPoint: Tensor] = [:]) {
    self.logits = logits
    self.values = values
  }
}
