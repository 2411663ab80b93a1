import Platform

/// A layer of the student and the teacher layer that it is compared with; 0 is the embeddings' output.
package struct LayerPair: Sendable, Equatable, Hashable {
  /// 0 … M.
  package let student: Int
  /// 0 … N.
  package let teacher: Int

  /// Creates a pair from layer numbers, counted as in `hidden_states`.
  package init(_ student: Int, _ teacher: Int) {
    self.student = student
    self.teacher = teacher
  }
}

/// The mapping of the layers of a student with M layers to those of a teacher with N.
package enum LayerMap: Sendable, Equatable {
  /// m ↔ ⌊m·N/M⌋, m = 1 … M.
  case uniform
  /// M ↔ N.
  case last
  /// The listed pairs.
  case pairs([LayerPair])

  /// The pairs for models with these layer counts, in the order of the student's layers.
  package func pairs(student: Int, teacher: Int) -> [LayerPair] {
    switch self {
    case .uniform: student == 0 ? [] : (1...student).map { LayerPair($0, $0 * teacher / student) }
    case .last: [LayerPair(student, teacher)]
    case .pairs(let pairs): pairs
    }
  }

  /// The value in a chain file.
  package var json: JSON {
    switch self {
    case .uniform: "uniform"
    case .last: "last"
    case .pairs(let pairs):
      .object(Dictionary(pairs.map { (String($0.student), JSON.int($0.teacher)) }) { first, _ in first })
    }
  }
}
