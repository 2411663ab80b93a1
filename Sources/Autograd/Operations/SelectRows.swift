import CKernels
import Tensors

extension Tape {
  /// y[r] = x[rows[r]]: some rows of a matrix, such as the first token of each sequence.
  ///
  /// - Parameters:
  ///   - x: [R, C].
  ///   - rows: row numbers in 0 ..< R; one may occur several times.
  public func selectRows(_ x: Variable, _ rows: [Int32]) -> Variable {
    let y = Tensor(uninitialized: [rows.count, x.value.columns])
    rtk_gather_rows(y.floats, x.value.floats, rows, rows.count, x.value.columns)
    return record(y, from: [x], SelectRowsOperation(x: x.place, rows: rows))
  }
}

struct SelectRowsOperation: Operation {
  let x: VariablePlace
  let rows: [Int32]

  // dx = 0 but for dx[rows[r]] += dy[r]
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    let dx = Tensor.zeros(x.shape)
    rtk_scatter_add_rows(dx.floats, dy.floats, rows, rows.count, dy.columns)
    gradients.add(dx, to: x)
  }
}
