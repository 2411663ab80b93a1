import Tensors
import TestSupport
import Testing

@testable import Autograd

/// y as float32, for a loss that reads that.
private struct Widening: Operation {
  let y: Variable

  func backward(_ gradient: Tensor, _ gradients: inout Gradients) { gradients.add(gradient, to: y) }
}

/// Attention on a bf16 input, as it stands between two bf16 products.
@Suite struct AttentionTests {
  let offsets: [Int32] = [0, 3, 4, 24]

  /// Output and input gradient, with Σ w·y as the loss.
  func run(_ x: Tensor, _ options: AttentionOptions) -> (y: Tensor, dx: Tensor) {
    let tape = Tape(recording: true)
    let leaf = tape.leaf(x)
    let y = tape.attention(leaf, offsets: offsets, options)
    let wide = y.value.dtype == .float32 ? y : tape.record(y.value.float32(), from: [y], Widening(y: y))
    let loss = tape.weightedElements(wide, randomTensor(y.shape, seed: 99).bf16().float32())
    return (y.value, tape.backward(from: loss, leaves: [leaf])[0])
  }

  /// ‖a − b‖ / ‖b‖
  func distance(_ a: Tensor, _ b: Tensor) -> Double {
    let squares = zip(a.array, b.array).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
    return (squares / b.sumOfSquares).squareRoot()
  }

  @Test(arguments: [nil, 0, 3, 100], [false, true])
  func `tokens one by one, or some at a time, over a KV cache give the rows of one pass, with any window`(
    reach: Int?, isRounded: Bool
  ) {
    let options = AttentionOptions(heads: 4, keyValueHeads: 2, headSize: 8, isCausal: true, reach: reach)
    let wide = randomTensor([20, 64], seed: 7)
    let x = isRounded ? wide.bf16() : wide
    let pass = Tape(recording: false).attention(Variable(constant: x), offsets: [0, 20], options)
    let whole = pass.value.converted(to: .float32)
    let cache = KVCache(width: 16, capacity: 4)
    for rows in [0..<1, 1..<2, 2..<9, 9..<20] {
      let part = Tape(recording: false).selectRows(Variable(constant: x), rows.map { Int32($0) })
      let y = Tape(recording: false).attention(part, after: cache, options).value.converted(to: .float32)
      for (a, b) in zip(y.array, whole.array[(rows.lowerBound * 32)...]) {
        #expect(abs(a - b) < (isRounded ? 2e-2 : 1e-5), "rows \(rows)")
      }
    }
  }

  @Test(arguments: [(4, 4, 16, false), (4, 2, 25, true), (2, 1, 50, false)])
  func `in bf16 out and gradient are bf16, and those of float32 to rounding`(
    heads: Int, shared: Int, size: Int, isCausal: Bool
  ) {
    let keys = (0..<6).map { UInt32($0 * 104729 + 7) }
    for dropout in [nil, (probability: 0.3, keys: keys)] as [(probability: Float, keys: [UInt32])?] {
      let options = AttentionOptions(
        heads: heads, keyValueHeads: shared, headSize: size, isCausal: isCausal, dropout: dropout)
      let x = randomTensor([24, (heads + 2 * shared) * size], seed: 5).bf16()
      let (rounded, exact) = (run(x, options), run(x.float32(), options))
      #expect(rounded.y.dtype == .bfloat16 && rounded.dx.dtype == .bfloat16)
      #expect(rounded.y.shape == exact.y.shape && rounded.dx.shape == exact.dx.shape)
      // A factor and the result are rounded by 2⁻⁹ at most, with random sign.
      #expect(distance(rounded.y.float32(), exact.y) < 3.5e-3)
      #expect(distance(rounded.dx.float32(), exact.dx) < 3.5e-3)
    }
  }
}
