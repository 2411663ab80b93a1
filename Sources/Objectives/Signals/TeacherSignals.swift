import Layers
import Tensors

/// The values of a teacher that a step's objectives read.
package struct SignalNeeds: Sendable, Equatable {
  /// Whether the logits are read.
  package var logits: Bool
  /// The points inside the model that are read, and how much of each.
  package var points: [PassPoint: Reading]

  /// Reads the logits, and by default nothing inside the model.
  package init(logits: Bool = true, points: [PassPoint: Reading] = [:]) {
    self.logits = logits
    self.points = points
  }

  /// Only logits, which every teacher in every placement can give.
  package static let logitsOnly = SignalNeeds()

  /// Whether points inside the model are read, which only a teacher on this rank's node can give.
  package var areInner: Bool { !points.isEmpty }

  /// Raises the reading of a point.
  mutating func add(_ point: PassPoint, _ reading: Reading) { points[point] = max(points[point] ?? .nothing, reading) }

  /// The union of both.
  func union(_ other: SignalNeeds) -> SignalNeeds {
    SignalNeeds(logits: logits || other.logits, points: points.merging(other.points, uniquingKeysWith: max))
  }
}

/// A teacher's outputs for a batch: plain tensors without gradients.
package struct TeacherSignals: Sendable {
  /// The logits of the loss's rows; nil if no objective reads them.
  package var logits: TeacherLogits?
  /// Values inside the model, in the number format of its pass: [T, …], or [B, …] where only first tokens are read.
  package var values: [PassPoint: Tensor]

  /// Creates signals with logits, and by default nothing inside the model.
  package init(_ logits: TeacherLogits?, values: [PassPoint: Tensor] = [:]) {
    self.logits = logits
    self.values = values
  }
}
