import CKernels
import Tensors

extension Tape {
  /// y = x / (1 − p) where an element is kept, else 0; the mask is a pure function of each sequence's key.
  ///
  /// - Parameters:
  ///   - x: [T, C], packed sequences.
  ///   - offsets: [B+1], the start of each sequence.
  ///   - keys: [2·B], two words per sequence.
  ///   - probability: p, in 0 ..< 1. Srivastava et al. (2014).
  package func dropout(_ x: Variable, offsets: [Int32], keys: [UInt32], probability: Float) -> Variable {
    dropout(x, DropoutMask(offsets: offsets, keys: keys, probability: probability))
  }

  /// y = x / (1 − p) where the mask keeps an element, else 0, in the format of x.
  package func dropout(_ x: Variable, _ mask: DropoutMask) -> Variable {
    record(mask.apply(to: x.value), from: [x], DropoutOperation(x: x.place, mask: mask))
  }
}

/// The elements that dropout keeps: a pure function of each sequence's key, recomputed at each use.
package struct DropoutMask: Sendable {
  /// [B+1], the start of each sequence.
  package let offsets: [Int32]
  /// [2·B], two words per sequence.
  package let keys: [UInt32]
  /// p, in 0 ..< 1.
  package let probability: Float

  /// The mask of packed sequences.
  package init(offsets: [Int32], keys: [UInt32], probability: Float) {
    self.offsets = offsets
    self.keys = keys
    self.probability = probability
  }

  func apply(to x: Tensor) -> Tensor {
    let y = Tensor.matrix(uninitializedRows: x.rows, columns: x.columns, x.dtype)
    if x.dtype == .bfloat16 {
      rtk_bf16_dropout(y.bf16Words, x.bf16Words, offsets, keys, offsets.count - 1, x.columns, probability)
    } else {
      rtk_dropout(y.floats, x.floats, offsets, keys, offsets.count - 1, x.columns, probability)
    }
    return y
  }
}

struct DropoutOperation: Operation {
  let x: VariablePlace
  let mask: DropoutMask

  // The mask is recomputed, not stored: dx = dropout(dy) with the same keys.
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    gradients.add(mask.apply(to: dy), to: x)
  }
}
