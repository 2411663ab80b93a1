import Tensors
import TestSupport
import Testing

@testable import Autograd

/// The operations of decoders against finite differences.
extension OperationGradientTests {
  @Test(arguments: [false, true]) func `RMS norm, with and without a residual`(hasResidual: Bool) {
    let gamma = trainedParameter("g", [16], seed: 1)
    let error = worstGradientError(
      inputs: [randomTensor([3, 16], seed: 3), randomTensor([3, 16], seed: 4)], parameters: [gamma]
    ) {
      let norm = $0.rmsNorm($1[0], residual: hasResidual ? $1[1] : nil, gamma: gamma, epsilon: 1e-5)
      // The sum goes on beside the norm: the two gradients meet in it.
      return $0.add(norm.sum, norm.output)
    }
    #expect(error < 3e-3)
  }

  @Test func `RMS norm with a scale of 1 + γ, and a factor`() {
    let gamma = trainedParameter("g", [16], seed: 1)
    let error = worstGradientError(inputs: [randomTensor([3, 16], seed: 3)], parameters: [gamma]) {
      let y = $0.rmsNorm($1[0], gamma: gamma, offset: 1, epsilon: 1e-5, wide: true).output
      // Its memory is written to.
      return $0.scaled($0.add(y, Variable(constant: .zeros([3, 16]))), by: 1.7)
    }
    #expect(error < 3e-3)
    let tape = Tape(recording: false, precision: .bf16)
    let x = Variable(constant: randomTensor([3, 16], seed: 3))
    let shifted = Parameter("s", Tensor(gamma.value.array.map { $0 + 1 }, [16]), decays: false)
    let y = tape.rmsNorm(x, gamma: gamma, offset: 1, epsilon: 1e-5, wide: true).output.value
    #expect(
      y.dtype == .float32 && y.array == tape.rmsNorm(x, gamma: shifted, epsilon: 1e-5, wide: true).output.value.array)
  }

  @Test(arguments: [Float(0), 1]) func `norms of the heads of queries and keys`(offset: Float) {
    let (query, key) = (trainedParameter("q", [6], seed: 1), trainedParameter("k", [6], seed: 2))
    let error = worstGradientError(inputs: [randomTensor([5, 30], seed: 3)], parameters: [query, key]) {
      // Without a backward pass its memory is written to.
      let copy = $0.add($1[0], Variable(constant: .zeros([5, 30])))
      return $0.headNorm(
        copy, heads: 3, keyValueHeads: 1, query: query, key: key, offset: offset, epsilon: 1e-5)
    }
    #expect(error < 3e-3)
  }

  @Test func `norms of heads are the same on any number of threads, and where nothing is recorded`() {
    let x = randomTensor([300, 40], seed: 5)
    var results: [[[Float]]] = []
    withThreads(1...4) { _ in
      let (query, key) = (trainedParameter("q", [8], seed: 1), trainedParameter("k", [8], seed: 2))
      let tape = Tape(recording: true)
      let leaf = tape.leaf(x.copy())
      let y = tape.headNorm(leaf, heads: 3, keyValueHeads: 1, query: query, key: key, epsilon: 1e-5)
      let own = Variable(constant: x.copy())
      let inPlace = Tape(recording: false).headNorm(
        own, heads: 3, keyValueHeads: 1, query: query, key: key, epsilon: 1e-5)
      #expect(inPlace.value.array == y.value.array && leaf.value.array == x.array)
      let dx = tape.backward(from: tape.weightedElements(y, randomTensor(y.shape, seed: 9)), leaves: [leaf])
      results.append([query.gradient!.array, key.gradient!.array, dx[0].array])
    }
    for result in results.dropFirst() { #expect(result == results[0]) }
  }

  @Test func `the gradient of γ of many rows is the same on any number of threads`() {
    let x = randomTensor([700, 48], seed: 5)
    var results: [[[Float]]] = []
    withThreads(1...4) { _ in
      let gamma = trainedParameter("g", [48], seed: 1)
      let tape = Tape(recording: true)
      let leaf = tape.leaf(x)
      let y = tape.rmsNorm(leaf, gamma: gamma, epsilon: 1e-5).output
      let dx = tape.backward(from: tape.weightedElements(y, randomTensor(y.shape, seed: 9)), leaves: [leaf])
      results.append([gamma.gradient!.array, dx[0].array])
    }
    for result in results.dropFirst() { #expect(result == results[0]) }
  }

  @Test func `rotary positions turn gradients back`() {
    let table = RotaryTable(frequencies: [1, 0.3, 0.01])
    let x = randomTensor([5, 20], seed: 1)
    let error = worstGradientError(inputs: [x]) {
      // Its memory is written to, so each pass gets its own.
      let copy = $0.add($1[0], Variable(constant: .zeros([5, 20])))
      return $0.rotary(copy, heads: 3, positions: [0, 1, 2, 0, 70], table)
    }
    #expect(error < 2e-3)
  }

  @Test func `a gradient that others see is not turned in place`() {
    let table = RotaryTable(frequencies: [1, 0.3])
    let (x, weights) = (randomTensor([4, 4], seed: 1), randomTensor([4, 4], seed: 9))
    func gradients(_ output: (Tape, Variable, Variable) -> Variable) -> [[Float]] {
      let tape = Tape(recording: true)
      let (a, b) = (tape.leaf(x.copy()), tape.leaf(x.copy()))
      return tape.backward(from: tape.weightedElements(output(tape, a, b), weights), leaves: [a, b]).map(\.array)
    }
    // a + turned(b): the sum hands one tensor to both.
    let both = gradients { tape, a, b in tape.add(a, tape.rotary(b, heads: 1, positions: [0, 1, 2, 3], table)) }
    #expect(both[0] == weights.array)
    #expect(both[1] != weights.array)
  }

  @Test(arguments: Activation.allCases) func `every gated unit`(kind: Activation) {
    let x = Tensor((0..<48).map { Float($0 * 29 % 48) * 0.19 - 4.47 }, [4, 12])
    #expect(worstGradientError(inputs: [x]) { $0.gated(kind, $1[0]) } < 3e-3)
  }

  @Test func `an id of −1 reads zeros and leaves no gradient`() {
    let table = trainedParameter("t", [3, 4], seed: 1)
    let tape = Tape(recording: true)
    let y = tape.embedding(tables: [table], ids: [[1, -1, 1]])
    #expect(y.value.rows(1..<2).array == [0, 0, 0, 0] && y.value.rows(0..<1).array == table.value.rows(1..<2).array)
    tape.backward(from: tape.weightedElements(y, Tensor(repeating: 1, [3, 4])))
    #expect(table.gradient!.array == [0, 0, 0, 0, 2, 2, 2, 2, 0, 0, 0, 0])
  }
}
