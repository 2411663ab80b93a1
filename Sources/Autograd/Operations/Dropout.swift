import CKernels
import Tensors

extension Tape {
  /// y = x / (1 − p) where an element is kept, else 0; the mask is a pure function of each sequence's key.
  ///
  /// - Parameters:
  ///   - x: [T, C], packed sequences.
  ///   - offsets: [B+1], where each sequence starts.
  ///   - keys: [2·B], two words for each sequence.
  ///   - probability: p, in 0 ..< 1. Srivastava et al. (2014).
  public func dropout(_ x: Variable, offsets: [Int32], keys: [UInt32], probability: Float) -> Variable {
    let mask = DropoutMask(offsets: offsets, keys: keys, probability: probability)
    return record(mask.apply(to: x.value), from: [x], DropoutOperation(x: x.place, mask: mask))
  }
}

struct DropoutMask {
  let offsets: [Int32]
  let keys: [UInt32]
  let probability: Float

  func apply(to x: Tensor) -> Tensor {
    let y = Tensor(uninitialized: x.shape)
    rtk_dropout(y.floats, x.floats, offsets, keys, offsets.count - 1, x.columns, probability)
    return y
  }
}

struct DropoutOperation: Operation {
  let x: VariablePlace
  let mask: DropoutMask

  // The mask is computed again instead of being stored: dx = dropout(dy) with the same keys.
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    gradients.add(mask.apply(to: dy), to: x)
  }
}
