import Tensors
import TestSupport
import Testing

@testable import Autograd

/// The linear layer on a tape of precision bf16.
@Suite struct BF16LinearTests {
  /// y, dx, dW and db of a linear layer, with Σ w·y as the loss.
  func run(
    _ precision: Precision, rows: Int, inputs: Int = 50, outputs: Int = 33, weights: BF16Weights = BF16Weights()
  ) -> [Tensor] {
    let weight = trainedParameter("w", [outputs, inputs], seed: 1)
    let bias = trainedParameter("b", [outputs], seed: 2)
    let tape = Tape(recording: true, precision: precision, weights: weights)
    let x = tape.leaf(randomTensor([rows, inputs], seed: 3))
    let y = tape.linear(x, weight: weight, bias: bias)
    let loss = tape.weightedElements(y, randomTensor(y.shape, seed: 99))
    let dx = tape.backward(from: loss, leaves: [x])[0]
    return [y.value, dx, weight.gradient!, bias.gradient!]
  }

  /// ‖a − b‖ / ‖b‖
  func distance(_ a: Tensor, _ b: Tensor) -> Double {
    let squares = zip(a.array, b.array).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
    return (squares / b.converted(to: .float32).sumOfSquares).squareRoot()
  }

  @Test(arguments: [1, 16, 21, 100]) func `output and gradients are those of float32 to the rounding of operands`(
    rows: Int
  ) {
    for (name, (rounded, exact)) in zip(["y", "dx", "dW", "db"], zip(run(.bf16, rows: rows), run(.fp32, rows: rows))) {
      #expect(rounded.shape == exact.shape)
      // Two operands and the result rounded by at most 2⁻⁹ each, errors of random sign.
      let distance = distance(rounded, exact)
      #expect(distance > 0 && distance < 4e-3, "\(name): \(distance)")
    }
  }

  @Test func `without rows nothing is computed and gradients stay as they are`() {
    let results = run(.bf16, rows: 0)
    #expect(results[0].shape == [0, 33] && results[1].shape == [0, 50])
    #expect(results[2].array.allSatisfy { $0 == 0 } && results[3].array.allSatisfy { $0 == 0 })
  }

  @Test func `layers below 16 inputs or outputs stay in float32`() {
    for (inputs, outputs) in [(50, 2), (5, 50)] {
      let rounded = run(.bf16, rows: 9, inputs: inputs, outputs: outputs)
      let exact = run(.fp32, rows: 9, inputs: inputs, outputs: outputs)
      #expect(zip(rounded, exact).allSatisfy { $0.array == $1.array })
    }
  }

  @Test(arguments: [1, 21, 64]) func `two layers in inference are those of a recording pass`(
    rows: Int
  ) {
    let (first, bias) = (trainedParameter("a", [70, 33], seed: 1), trainedParameter("b", [70], seed: 2))
    let second = trainedParameter("c", [20, 70], seed: 3)
    func run(_ isRecording: Bool, _ precision: Precision = .bf16) -> Tensor {
      let tape = Tape(recording: isRecording, precision: precision)
      let x = Variable(constant: randomTensor([rows, 33], seed: 4))
      let middle = tape.linear(x, weight: first, bias: bias, activation: .gelu)
      #expect((middle.value.dtype == .bfloat16) == (precision == .bf16))
      return tape.linear(middle, weight: second, bias: nil, wide: true).value
    }
    // The recording pass rounds before GELU too.
    #expect(distance(run(false), run(true)) < 4e-3)
    #expect(distance(run(false), run(false, .fp32)) < 6e-3)
    #expect(run(false, .fp32).array == run(true, .fp32).array)
  }

  @Test func `a weight that is stored rounded is used as it is`() {
    let weights = BF16Weights()
    let trained = trainedParameter("trained", [64, 32], seed: 1)
    let rounded = trained.value.bf16()
    let x = Variable(constant: randomTensor([3, 32], seed: 2))
    let want = Tape(recording: false, precision: .bf16).linear(x, weight: trained, bias: nil).value.array
    for value in Tensor.isPackable([64, 32]) ? [rounded, rounded.packed()] : [rounded] {
      let frozen = Parameter("frozen", value, decays: true, isFactor: true)
      weights.invalidate()
      #expect(weights.copy(of: frozen).storage === value.storage)
      let tape = Tape(recording: false, precision: .bf16, weights: weights)
      #expect(tape.linear(x, weight: frozen, bias: nil).value.array == want)
    }
  }

  @Test func `gradients of two passes add up`() {
    let weight = trainedParameter("w", [20, 24], seed: 1)
    func pass() {
      let tape = Tape(recording: true, precision: .bf16)
      let y = tape.linear(Variable(constant: randomTensor([7, 24], seed: 3)), weight: weight, bias: nil)
      tape.backward(from: tape.weightedElements(y, randomTensor(y.shape, seed: 99)))
    }
    pass()
    let once = weight.gradient!.array
    pass()
    for (a, b) in zip(weight.gradient!.array, once) { #expect(abs(a - 2 * b) <= 1e-5 * (1 + abs(b))) }
  }

  @Test func `a copy of weights is made once, and anew after it was outdated`() {
    let weights = BF16Weights()
    let weight = Parameter("w", randomTensor([16, 16], seed: 1), decays: true)
    let first = weights.copy(of: weight)
    #expect(first.float32().array == weight.value.bf16().float32().array)
    weight.value.fill(2)
    #expect(weights.copy(of: weight).bf16Words == first.bf16Words)
    #expect(weights.copy(of: weight).float32().array != weight.value.array)
    weights.invalidate()
    let second = weights.copy(of: weight)
    #expect(second.float32().array == weight.value.array)
    #expect(second.bf16Words == first.bf16Words, "the memory is the same")
    // Without copies that outlive it, a pass sees the weights as they are.
    weight.value.fill(3)
    let y = Tape(recording: false, precision: .bf16).linear(
      Variable(constant: Tensor(repeating: 1, [1, 16])), weight: weight, bias: nil)
    #expect(y.value.array == [Float](repeating: 48, count: 16))
  }
}
