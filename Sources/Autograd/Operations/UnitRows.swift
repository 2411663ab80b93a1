import Tensors

extension Tape {
  /// y[r] = x[r] / |x[r]|, float32: vectors of length 1. A row shorter than 1e-12 is divided by that.
  ///
  /// - Parameter x: [R, C], float32.
  package func unitRows(_ x: Variable) -> Variable {
    let (rows, columns) = (x.value.rows, x.value.columns)
    let y = Tensor(uninitialized: x.shape)
    var scales = [Float](repeating: 0, count: rows)
    for row in 0..<rows {
      let values = x.value.floats + row * columns
      var square = 0.0
      for column in 0..<columns { square += Double(values[column]) * Double(values[column]) }
      scales[row] = Float(1 / max(square.squareRoot(), 1e-12))
      for column in 0..<columns { y.floats[row * columns + column] = values[column] * scales[row] }
    }
    return record(y, from: [x], UnitRowsOperation(x: x.place, y: y, scales: scales))
  }
}

struct UnitRowsOperation: Operation {
  let x: VariablePlace
  let y: Tensor
  /// 1 / |x[r]|.
  let scales: [Float]

  // dx = (dy − y (y·dy)) / |x|
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    let dx = Tensor(uninitialized: x.shape)
    let columns = dy.columns
    for (row, scale) in scales.enumerated() {
      let (own, slope, target) = (
        y.floats + row * columns, dy.floats + row * columns, dx.floats + row * columns
      )
      var dot = 0.0
      for column in 0..<columns { dot += Double(own[column]) * Double(slope[column]) }
      for column in 0..<columns { target[column] = (slope[column] - own[column] * Float(dot)) * scale }
    }
    gradients.add(dx, to: x)
  }
}
