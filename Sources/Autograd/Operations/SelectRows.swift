import CKernels
import Tensors

extension Tape {
  /// y[r] = x[rows[r]]: some rows of a matrix, such as the first token of each sequence; in the format of x.
  ///
  /// - Parameters:
  ///   - x: [R, C].
  ///   - rows: row numbers in 0 ..< R; one may occur several times.
  package func selectRows(_ x: Variable, _ rows: [Int32]) -> Variable {
    let columns = x.value.columns
    let y = Tensor.matrix(uninitializedRows: rows.count, columns: columns, x.value.dtype)
    if y.dtype == .bfloat16 {
      rtk_bf16_gather_rows(y.bf16Words, x.value.bf16Words, rows, rows.count, columns)
    } else {
      rtk_gather_rows(y.floats, x.value.floats, rows, rows.count, columns)
    }
    return record(y, from: [x], SelectRowsOperation(x: x.place, rows: rows))
  }
}

struct SelectRowsOperation: Operation {
  let x: VariablePlace
  let rows: [Int32]

  // dx = 0 except dx[rows[r]] += dy[r]
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    let dx = Tensor.matrix(uninitializedRows: x.shape.rows, columns: x.shape.columns, x.dtype)
    dx.clear()
    if dx.dtype == .bfloat16 {
      rtk_bf16_scatter_add_rows(dx.bf16Words, dy.bf16Words, rows, rows.count, dy.columns)
    } else {
      rtk_scatter_add_rows(dx.floats, dy.floats, rows, rows.count, dy.columns)
    }
    gradients.add(dx, to: x)
  }
}
