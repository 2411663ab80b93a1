import CKernels
import Tensors

extension Tape {
  /// y[b] = the mean of the rows of sequence b, float32: mean pooling.
  ///
  /// - Parameters:
  ///   - x: [T, C], float32.
  ///   - offsets: [B+1], the start of each sequence, none of them empty.
  /// - Returns: [B, C].
  package func meanOfRows(_ x: Variable, offsets: [Int32]) -> Variable {
    let columns = x.value.columns
    precondition(Int(offsets.last ?? 0) == x.value.rows, "offsets end at \(offsets.last ?? 0) of \(x.shape)")
    let y = Tensor(uninitialized: [offsets.count - 1, columns])
    for (b, (start, end)) in zip(offsets, offsets.dropFirst()).enumerated() {
      let row = y.floats + b * columns
      rtk_sum_parts(row, x.value.floats + Int(start) * columns, Int(end - start), columns, columns)
      rtk_scale(row, 1 / Float(max(1, end - start)), columns)
    }
    return record(y, from: [x], MeanRowsOperation(x: x.place, offsets: offsets))
  }
}

struct MeanRowsOperation: Operation {
  let x: VariablePlace
  let offsets: [Int32]

  // dx[t] = dy[b] / S_b
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    let dx = Tensor(uninitialized: x.shape)
    for (b, (start, end)) in zip(offsets, offsets.dropFirst()).enumerated() where end > start {
      for token in Int(start)..<Int(end) {
        dx.rows(token..<token + 1).update(from: dy.rows(b..<b + 1))
      }
      let rows = dx.rows(Int(start)..<Int(end))
      rtk_scale(rows.floats, 1 / Float(end - start), rows.count)
    }
    gradients.add(dx, to: x)
  }
}
