import CKernels
import Foundation
import Tensors

/// The target logits for a chunk of rows: given, or computed from a teacher's states block by block.
struct TargetLogits {
  /// The logits of a block of classes.
  struct Block {
    let logits: Tensor
    /// The offset of the first logit in the tensor, and the distance from one row to the next, both in elements.
    let first: Int
    let stride: Int

    /// Calls `body` with a block's rows from `row` on, in the kernels' representation, or with nil.
    static func with(_ block: Block?, from row: Int, _ body: (UnsafePointer<rtk_head_teacher>?) -> Void) {
      guard let block, let start = block.logits.bytes.baseAddress else { return body(nil) }
      var rows = rtk_head_teacher(
        logits: start + (block.first + row * block.stride) * block.logits.dtype.size, stride: block.stride,
        is_bf16: block.logits.dtype == .bfloat16)
      withExtendedLifetime(block.logits) { body(&rows) }
    }
  }

  /// The classes that are compared: the first ones.
  let classes: Int
  private let logits: Tensor
  private let made: (states: Tensor, head: Tensor)?

  /// Wraps existing logits, [R, C].
  ///
  /// - Parameter classes: the first classes, which alone are compared; nil: all.
  init(given logits: Tensor, classes: Int? = nil) {
    self.classes = min(logits.columns, classes ?? logits.columns)
    self.logits = logits
    made = nil
  }

  /// Prepares logits computed from `states` [R or more, h] and `head` [C, h].
  ///
  /// - Parameter classes: the first classes, which alone are compared; nil: all.
  init(states: Tensor, head: Tensor, classes: Int? = nil) {
    precondition(
      head.columns == states.columns, "a teacher's states \(states.shape) and head \(head.shape)")
    self.classes = min(head.rows, classes ?? head.rows)
    logits = Tensor(uninitialized: [states.rows * TargetLogits.end(self.classes, head)])
    made = (states, head)
  }

  /// The end of the product for a block that ends at a class: a packed head is multiplied by 64 rows at a time.
  private static func end(_ classes: Int, _ head: Tensor) -> Int { min(head.rows, (classes + 63) / 64 * 64) }

  /// The logits of a block of classes; `computing` computes and stores them first.
  func block(_ range: Range<Int>, computing: Bool) -> Block {
    guard let (states, head) = made else {
      return Block(logits: logits, first: range.lowerBound, stride: logits.columns)
    }
    let computed = range.lowerBound..<TargetLogits.end(range.upperBound, head)
    let part = logits.slice(at: range.lowerBound * states.rows, [states.rows, computed.count])
    if computing { matrixMultiply(states, head.rows(computed), transposeB: true, into: part) }
    return Block(logits: part, first: 0, stride: computed.count)
  }

  /// The logits of all classes, [rows, classes] in float32, row-major; `computing` computes them first.
  func whole(rows: Int, computing: Bool) -> Tensor {
    if made == nil, logits.dtype == .float32, logits.columns == classes { return logits }
    let result = Tensor(uninitialized: [rows, classes])
    for range in HeadLossChunks.blocks(classes: classes) {
      let block = block(range, computing: computing)
      let from = block.logits.converted(to: .float32)
      for row in 0..<rows {
        (result.floats + row * classes + range.lowerBound).update(
          from: from.floats + block.first + row * block.stride, count: range.count)
      }
    }
    return result
  }
}

extension TargetLogits {
  /// Σ w_i t_i over teachers with the same classes, [rows, classes].
  static func meanLogits(_ teachers: [Tensor], weights: [Double]) -> Tensor {
    let result = Tensor.zeros(teachers[0].shape)
    let columns = result.columns
    ThreadTeam.split(result.rows, cost: columns * teachers.count) { rows in
      for (teacher, weight) in zip(teachers, weights) {
        let (from, to, w) = (teacher.floats, result.floats, Float(weight))
        for place in rows.lowerBound * columns..<rows.upperBound * columns { to[place] += w * from[place] }
      }
    }
    return result
  }

  /// T · log Σ w_i softmax(t_i / T): logits whose softmax at T is the weighted mean of the teachers' probabilities.
  static func meanProbabilities(_ teachers: [Tensor], weights: [Double], temperature: Float) -> Tensor {
    let result = Tensor(uninitialized: teachers[0].shape)
    let columns = result.columns
    ThreadTeam.split(result.rows, cost: 40 * columns * teachers.count) { rows in
      for row in rows {
        let to = result.floats + row * columns
        let shifts = zip(teachers, weights).map { teacher, weight -> Float in
          let from = teacher.floats + row * columns
          var (largest, sum) = (-Float.infinity, 0.0)
          for c in 0..<columns { largest = max(largest, from[c]) }
          for c in 0..<columns { sum += Double(exp((from[c] - largest) / temperature)) }
          // log w_i − log Σ e^(t/T), so that e^(t/T + shift) is w_i · p_i.
          return Float(log(weight) - log(sum)) - largest / temperature
        }
        for c in 0..<columns {
          var largest = -Float.infinity
          for (teacher, shift) in zip(teachers, shifts) {
            largest = max(largest, teacher.floats[row * columns + c] / temperature + shift)
          }
          var sum: Float = 0
          for (teacher, shift) in zip(teachers, shifts) where largest > -.infinity {
            sum += exp(teacher.floats[row * columns + c] / temperature + shift - largest)
          }
          to[c] = temperature * (largest + log(sum))
        }
      }
    }
    return result
  }

  /// softmax(t)[label] of each row at T = 1, [rows]; 1 for a row without a label.
  static func confidence(_ teacher: Tensor, labels: ArraySlice<Int32>) -> [Double] {
    let columns = teacher.columns
    return zip(labels, 0..<labels.count).map { label, row in
      guard label >= 0 else { return 1 }
      let from = teacher.floats + row * columns
      var (largest, sum) = (-Float.infinity, 0.0)
      for c in 0..<columns { largest = max(largest, from[c]) }
      for c in 0..<columns { sum += Double(exp(from[c] - largest)) }
      return Double(exp(from[Int(label)] - largest)) / sum
    }
  }
}
