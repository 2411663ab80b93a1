import Tensors
import TestSupport
import Testing

@testable import Autograd

/// What travels between operations on a tape of precision bf16.
@Suite struct BF16FlowTests {
  /// ‖a − b‖ / ‖b‖
  func distance(_ a: Tensor, _ b: Tensor) -> Double {
    let squares = zip(a.array, b.array).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
    return (squares / b.converted(to: .float32).sumOfSquares).squareRoot()
  }

  /// One operation on a tape of each precision; x and what stands beside it are bf16 numbers in both.
  func compare(
    _ parameters: [Parameter] = [], within bound: Double, _ forward: (Tape, Variable, Variable) -> Variable
  ) {
    let values = [1, 2].map { randomTensor([21, 48], seed: $0).bf16() }
    func run(_ precision: Precision) -> [Tensor] {
      parameters.forEach { $0.gradient?.fill(0) }
      let tape = Tape(recording: true, precision: precision)
      let leaves = values.map { tape.leaf($0.converted(to: precision == .bf16 ? .bfloat16 : .float32)) }
      let y = forward(tape, leaves[0], leaves[1])
      #expect(y.value.dtype == leaves[0].value.dtype)
      let weights = randomTensor(y.shape, seed: 99).bf16().float32()
      let gradients = tape.backward(from: tape.weightedElements(y, weights), leaves: leaves)
      return [y.value] + gradients + parameters.map { $0.gradient!.copy() }
    }
    for (index, (rounded, exact)) in zip(run(.bf16), run(.fp32)).enumerated() {
      if exact.array.allSatisfy({ $0 == 0 }) {
        #expect(rounded.array.allSatisfy { $0 == 0 })
      } else {
        #expect(distance(rounded, exact) < bound, "result \(index): \(distance(rounded, exact))")
      }
    }
  }

  // A rounding is off by at most 2⁻⁹ of the number, in the mean by 0.6 of that: 1.1e-3. n of them in a row: √n as much.
  @Test func `operations in bf16 are those of float32 within a rounding for each result`() {
    let offsets: [Int32] = [0, 5, 21]
    let mask = DropoutMask(offsets: offsets, keys: [1, 2, 3, 4], probability: 0.3)
    let (gamma, beta) = (trainedParameter("γ", [48], seed: 3), trainedParameter("β", [48], seed: 4))
    compare(within: 2e-3) { tape, x, _ in tape.activation(.gelu, x) }
    compare(within: 2e-3) { tape, x, _ in tape.dropout(x, mask) }
    compare(within: 2e-3) { tape, x, _ in tape.selectRows(x, [4, 0, 4, 20]) }
    compare(within: 2e-3) { tape, x, _ in tape.converted(tape.converted(x, to: .float32), to: x.value.dtype) }
    // s is rounded before it is normalised.
    compare([gamma, beta], within: 4e-3) { tape, x, other in
      tape.layerNorm(x, dropout: mask, residual: other, gamma: gamma, beta: beta, epsilon: 1e-5)
    }
    compare([gamma, beta], within: 4e-3) { tape, x, _ in tape.layerNorm(x, gamma: gamma, beta: beta, epsilon: 1e-5) }
  }

  @Test func `a feed-forward block whose inner values are made again has the gradients of float32`() {
    let (up, down) = (trainedParameter("up", [96, 48], seed: 5), trainedParameter("down", [48, 96], seed: 6))
    let (b, c) = (trainedParameter("b", [96], seed: 7), trainedParameter("c", [48], seed: 8))
    let (gamma, beta) = (trainedParameter("γ", [48], seed: 3), trainedParameter("β", [48], seed: 4))
    // Some twenty roundings one behind the other, forward and backward, and two of them normalised by small deviations.
    compare([up, down, b, c, gamma, beta], within: 1e-2) { tape, x, _ in
      let normal = tape.layerNorm(x, gamma: gamma, beta: beta, epsilon: 1e-5)
      let wide = tape.linear(normal, weight: up, bias: b, activation: .gelu)
      let narrow = tape.linear(wide, weight: down, bias: c)
      return tape.layerNorm(narrow, residual: normal, gamma: gamma, beta: beta, epsilon: 1e-5)
    }
  }

  @Test func `gradients of one variable add up in its format, whoever owns them`() {
    let place = Tape(recording: true).leaf(randomTensor([3, 5], seed: 1).bf16()).place
    var gradients = Gradients(count: 1)
    let shared = Tensor(repeating: 1, [3, 5]).bf16()
    gradients.add(shared, to: place, owned: false)
    gradients.add(shared, to: place, owned: false)
    gradients.add(Tensor(repeating: 0.5, [3, 5]), to: place)
    let sum = gradients.take(0)!
    #expect(sum.dtype == .bfloat16 && sum.array.allSatisfy { $0 == 2.5 })
    #expect(shared.array.allSatisfy { $0 == 1 })
  }

  @Test func `what lies in the padding behind the rows reaches no gradient`() {
    let weight = trainedParameter("w", [32, 48], seed: 1)
    func gradient(padding: UInt16) -> [Float] {
      weight.gradient!.fill(0)
      func matrix(_ columns: Int, seed: UInt64) -> Tensor {
        let matrix = Tensor.bf16(uninitializedRows: 5, columns: columns)
        let padded = matrix.withPaddedRows()
        #expect(padded.rows == 16 && padded.storage === matrix.storage)
        padded.bf16Words.update(repeating: padding, count: padded.count)
        matrix.copyBits(of: randomTensor([5, columns], seed: seed).bf16())
        return matrix
      }
      let tape = Tape(recording: true, precision: .bf16)
      let y = tape.linear(tape.leaf(matrix(48, seed: 2)), weight: weight, bias: nil)
      tape.backward(from: tape.record(Tensor([1], []), from: [y], Given(y: y.place, gradient: matrix(32, seed: 3))))
      return weight.gradient!.array
    }
    let clean = gradient(padding: 0)
    #expect(clean.contains { $0 != 0 } && gradient(padding: 0x7fc0) == clean)
  }

  @Test func `logits are float32, whatever was before`() {
    let weight = trainedParameter("w", [40, 48], seed: 1)
    let tape = Tape(recording: true, precision: .bf16)
    let x = tape.leaf(randomTensor([5, 48], seed: 2).bf16())
    let wide = tape.linear(x, weight: weight, bias: nil, wide: true)
    let narrow = tape.linear(x, weight: weight, bias: nil)
    #expect(wide.value.dtype == .float32 && narrow.value.dtype == .bfloat16)
    #expect(wide.value.bf16().array == narrow.value.array && wide.value.array != narrow.value.array)
    let dx = tape.backward(from: tape.weightedElements(wide, randomTensor(wide.shape, seed: 99)), leaves: [x])[0]
    #expect(dx.dtype == .bfloat16 && dx.shape == x.shape)
  }

  @Test func `an embedding in bf16 is that of float32, rounded once, with gradients for its tables`() {
    let tables = [trainedParameter("a", [50, 33], seed: 1), trainedParameter("b", [9, 33], seed: 2)]
    let ids = [(0..<70).map { Int32($0 * 7 % 50) }, (0..<70).map { Int32($0 % 9) }]
    let base = randomTensor([70, 33], seed: 3)
    func run(_ precision: Precision) -> [Tensor] {
      tables.forEach { $0.gradient!.fill(0) }
      let tape = Tape(recording: true, precision: precision)
      let y = tape.embedding(base: tape.leaf(base), tables: tables, ids: ids)
      tape.backward(from: tape.weightedElements(y, randomTensor(y.shape, seed: 99).bf16().float32()))
      return [y.value] + tables.map { $0.gradient!.copy() }
    }
    let (rounded, exact) = (run(.bf16), run(.fp32))
    #expect(rounded[0].dtype == .bfloat16 && rounded[0].array == exact[0].bf16().array)
    #expect(rounded[1].array == exact[1].array && rounded[2].array == exact[2].array)
  }
}

/// A loss whose gradient is a given tensor.
private struct Given: Operation {
  let y: VariablePlace
  let gradient: Tensor

  func backward(_ dy: Tensor, _ gradients: inout Gradients) { gradients.add(gradient, to: y) }
}
