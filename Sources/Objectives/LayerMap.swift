import Platform

/// A layer of the student with the one of the teacher that it is compared with; 0 stands for the embeddings' output.
public struct LayerPair: Sendable, Equatable, Hashable {
  /// 0 … M.
  public let student: Int
  /// 0 … N.
  public let teacher: Int

  /// The layers with these numbers, as `hidden_states` counts them.
  public init(_ student: Int, _ teacher: Int) {
    self.student = student
    self.teacher = teacher
  }
}

/// Which layers of a student of M layers are compared with which of a teacher of N.
public enum LayerMap: Sendable, Equatable {
  /// m ↔ ⌊m·N/M⌋, m = 1 … M.
  case uniform
  /// M ↔ N.
  case last
  /// As written.
  case pairs([LayerPair])

  /// The pairs for models of these many layers, in the order of the student's layers.
  public func pairs(student: Int, teacher: Int) -> [LayerPair] {
    switch self {
    case .uniform: student == 0 ? [] : (1...student).map { LayerPair($0, $0 * teacher / student) }
    case .last: [LayerPair(student, teacher)]
    case .pairs(let pairs): pairs
    }
  }

  /// As it is written in a chain file.
  public var json: JSON {
    switch self {
    case .uniform: "uniform"
    case .last: "last"
    case .pairs(let pairs):
      .object(Dictionary(pairs.map { (String($0.student), JSON.int($0.teacher)) }) { first, _ in first })
    }
  }
}
