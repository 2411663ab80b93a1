import Autograd
import Models
import Objectives
import Tensors

/// A teacher's head on a rank that receives the teacher's last states: z = W·s + b.
package struct TeacherHead {
  /// [C, h], or [C, h + 1] with the bias as its last column.
  let matrix: Tensor
  private let hasBias: Bool

  /// Takes the head of a model in memory.
  package init(_ model: any StagedModel) {
    let (matrix, bias) = model.headWeights
    self.init(matrix: matrix.value, bias: bias?.value)
  }

  /// - Parameters:
  ///   - matrix: [C, h], float32 or bf16.
  ///   - bias: [C], or nil.
  package init(matrix: Tensor, bias: Tensor?) {
    hasBias = bias != nil
    guard let bias else {
      self.matrix = matrix
      return
    }
    // The bias becomes a column, and states get a 1; only heads with few classes have a bias.
    let (classes, width) = (matrix.rows, matrix.columns)
    let wide = Tensor(uninitialized: [classes, width + 1])
    let rows = matrix.converted(to: .float32)
    for row in 0..<classes {
      let target = wide.floats + row * (width + 1)
      target.update(from: rows.floats + row * width, count: width)
      target[width] = bias.floats[row]
    }
    self.matrix = wide
  }

  /// The soft targets for states [R, h].
  func targets(_ states: Tensor) -> TeacherLogits {
    guard hasBias else { return .hidden(states, head: matrix) }
    let (rows, width) = (states.rows, states.columns)
    let wide = Tensor(uninitialized: [rows, width + 1])
    let floats = states.converted(to: .float32)
    for row in 0..<rows {
      let target = wide.floats + row * (width + 1)
      target.update(from: floats.floats + row * width, count: width)
      target[width] = 1
    }
    return .hidden(wide, head: matrix)
  }
}
