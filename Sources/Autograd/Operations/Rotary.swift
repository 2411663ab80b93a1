import CKernels
import Synchronization
import Tensors

#if canImport(Glibc)
  import Glibc
#endif

/// Cosines and sines of rotary positions, computed in double precision up to the largest position that occurs.
package final class RotaryTable: Sendable {
  private let frequencies: [Double]
  /// [P, D]: for each position D/2 cosines, then D/2 sines.
  private let values = Mutex(Tensor(uninitialized: [0]))

  /// - Parameter frequencies: the angle at position 1 of each pair of a head's elements, [D/2].
  package init(frequencies: [Double]) { self.frequencies = frequencies }

  /// D.
  package var headSize: Int { 2 * frequencies.count }

  /// A table that covers at least positions 0 ..< count; it grows by at least half, so decoding does not extend it for
  /// every token.
  func table(positions count: Int) -> Tensor {
    values.withLock { table in
      let known = table.count / headSize
      if known < count { table = grown(table, from: known, to: max(count, known + known / 2, 64)) }
      return table
    }
  }

  private func grown(_ table: Tensor, from known: Int, to count: Int) -> Tensor {
    let result = Tensor(uninitialized: [count, headSize])
    result.floats.update(from: table.floats, count: known * headSize)
    for position in known..<count {
      let row = result.floats + position * headSize
      for (pair, frequency) in frequencies.enumerated() {
        let angle = Double(position) * frequency
        row[pair] = Float(cos(angle))
        row[frequencies.count + pair] = Float(sin(angle))
      }
    }
    return result
  }

  /// Rotates the first `heads` heads of each row of x by the angle of the row's position, in place.
  ///
  /// - Parameters:
  ///   - x: [T, at least heads·D], float32 or bf16.
  ///   - positions: [T], none negative.
  ///   - inverse: rotates back.
  package func rotate(_ x: Tensor, heads: Int, positions: [Int32], inverse: Bool = false) {
    precondition(
      positions.count == x.rows && heads * headSize <= x.columns,
      "\(heads) heads of \(headSize) rotated in \(x.shape) for \(positions.count) positions")
    let table = table(positions: Int(positions.max() ?? 0) + 1)
    let (stride, size) = (x.columns, headSize)
    positions.withUnsafeBufferPointer { positions in
      ThreadTeam.split(x.rows, cost: heads * size) { part in
        guard let first = positions.baseAddress.map({ $0 + part.lowerBound }) else { return }
        let at = part.lowerBound * stride
        if x.dtype == .bfloat16 {
          rtk_bf16_rotate(x.bf16Words + at, table.floats, first, part.count, stride, heads, size, inverse)
        } else {
          rtk_rotate(x.floats + at, table.floats, first, part.count, stride, heads, size, inverse)
        }
      }
    }
  }
}

extension Tape {
  /// Rotary positions (Su et al., 2021) on the first heads of each row: queries, then keys.
  ///
  /// - Parameters:
  ///   - x: [T, at least heads·D], float32 or bf16. The result overwrites its memory, so nothing may read x afterwards.
  ///   - positions: [T].
  package func rotary(_ x: Variable, heads: Int, positions: [Int32], _ table: RotaryTable) -> Variable {
    table.rotate(x.value, heads: heads, positions: positions)
    return record(
      x.value, from: [x], RotaryOperation(x: x.place, heads: heads, positions: positions, table: table))
  }
}

struct RotaryOperation: Operation {
  let x: VariablePlace
  let heads: Int
  let positions: [Int32]
  let table: RotaryTable

  // A rotation is orthogonal, so the gradient is rotated back.
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    let dx = gradients.isGivenOwned ? dy : dy.rowsCopy()
    table.rotate(dx, heads: heads, positions: positions, inverse: true)
    gradients.add(dx, to: x)
  }
}

extension Tensor {
  /// A copy of the elements, with the row padding of values between operations.
  fileprivate func rowsCopy() -> Tensor {
    let result = Tensor.matrix(uninitializedRows: rows, columns: columns, dtype)
    (result.storage.address + result.byteOffset).copyMemory(from: storage.address + byteOffset, byteCount: bytes.count)
    return result
  }
}
