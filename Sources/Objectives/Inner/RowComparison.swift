import Autograd
import CKernels
import Models
import Tensors

/// The comparison of a student's row with a teacher's row: a sum over the row's elements, and its gradient.
enum RowComparison {
  /// Σ (x − y)²
  case squared
  /// 1 − cos(x, y)
  case cosine
  /// Σ (x/|x| − y/|y|)²
  case unitSquared

  /// Whether the value is a sum over the row's elements; a term then takes their mean.
  var sumsElements: Bool { self != .cosine }
}

extension Tape {
  /// factor · Σ_r comparison(x_r, y_r), and the sum without the factor.
  ///
  /// - Parameters:
  ///   - x: [R, C], in the number format of the pass.
  ///   - y: [R, C], in any number format.
  func compareRows(_ x: Variable, _ y: Tensor, _ comparison: RowComparison, factor: Double) -> LossTerm {
    precondition(x.shape == y.shape, "rows \(x.shape) of a student are compared with rows \(y.shape) of a teacher")
    let (own, theirs) = (x.value.converted(to: .float32), y.converted(to: .float32))
    let (rows, columns) = (own.rows, own.columns)
    let gradient = Tensor(uninitialized: own.shape)
    let values = RowNumbers<Double>(rows, 0)
    ThreadTeam.split(rows, cost: columns) { part in
      let (first, count, place) = (part.lowerBound, part.count, part.lowerBound * columns)
      let (value, g) = (values.start + first, gradient.floats + place)
      let (a, b) = (own.floats + place, theirs.floats + place)
      switch comparison {
      case .squared: rtk_rows_squared(value, g, a, b, count, columns)
      case .cosine: rtk_rows_cosine(value, g, a, b, count, columns)
      case .unitSquared: rtk_rows_unit_squared(value, g, a, b, count, columns)
      }
    }
    let sum = values.buffer.reduce(0, +)
    return LossTerm(loss: loss(factor * sum, of: x, gradient: gradient, scale: Float(factor)), sum: sum)
  }
}

extension LayerMap {
  /// The layer pairs; throws `ObjectiveRefusal` for a layer that a model does not have.
  ///
  /// - Parameter least: the lowest layer that can be compared: 0 if the embeddings' output can, else 1.
  func checkedPairs(student: ModelShape, teacher: ModelShape, least: Int) throws -> [LayerPair] {
    let pairs = pairs(student: student.layers, teacher: teacher.layers)
    if pairs.isEmpty {
      throw ObjectiveRefusal(
        key: "layers", what: "compares no layers: the student has \(student.layers)", remedy: "name pairs of layers")
    }
    for pair in pairs {
      for (layer, count, whose) in [
        (pair.student, student.layers, "student"), (pair.teacher, teacher.layers, "teacher"),
      ] where layer < least || layer > count {
        throw ObjectiveRefusal(
          key: "layers", what: "names layer \(layer) of the \(whose), which has layers \(least) to \(count) here",
          remedy: least == 0 ? "0 is the embeddings' output, \(count) the last layer" : "\(count) is the last layer")
      }
    }
    return pairs
  }
}
