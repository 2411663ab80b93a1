import Tensors
import TestSupport
import Testing

@testable import Autograd

/// Every operation against finite differences.
@Suite(.timeLimit(.minutes(2))) struct OperationGradientTests {
  let offsets: [Int32] = [0, 3, 4, 9]

  @Test func `linear: dx = dy·W, dW = dyᵀ·x, db = Σ dy`() {
    let (w, b) = (trainedParameter("w", [5, 7], seed: 1), trainedParameter("b", [5], seed: 2))
    let error = worstGradientError(inputs: [randomTensor([4, 7], seed: 3)], parameters: [w, b]) {
      $0.linear($1[0], weight: w, bias: b)
    }
    #expect(error < 2e-3)
  }

  @Test func `embedding: rows that occur twice add up, and the base passes through`() {
    let (a, b) = (trainedParameter("a", [6, 4], seed: 1), trainedParameter("b", [3, 4], seed: 2))
    let error = worstGradientError(inputs: [randomTensor([5, 4], seed: 3)], parameters: [a, b]) {
      $0.embedding(base: $1[0], tables: [a, b], ids: [[0, 5, 5, 2, 0], [2, 1, 0, 0, 2]])
    }
    #expect(error < 2e-3)
    let plain = worstGradientError(inputs: [], parameters: [a]) { tape, _ in
      tape.embedding(tables: [a], ids: [[1, 1, 4]])
    }
    #expect(plain < 2e-3)
  }

  @Test(arguments: [false, true]) func `layer norm, with and without a residual`(hasResidual: Bool) {
    let (gamma, beta) = (trainedParameter("g", [16], seed: 1), trainedParameter("b", [16], seed: 2))
    let error = worstGradientError(
      inputs: [randomTensor([3, 16], seed: 3), randomTensor([3, 16], seed: 4)], parameters: [gamma, beta]
    ) {
      $0.layerNorm($1[0], residual: hasResidual ? $1[1] : nil, gamma: gamma, beta: beta, epsilon: 1e-5)
    }
    #expect(error < 3e-3)
  }

  @Test(arguments: [false, true], [false, true])
  func `the norm of a stream, with and without a residual and a shift`(hasResidual: Bool, hasShift: Bool) {
    let (gamma, beta) = (trainedParameter("g", [16], seed: 1), trainedParameter("b", [16], seed: 2))
    let error = worstGradientError(
      inputs: [randomTensor([3, 16], seed: 3), randomTensor([3, 16], seed: 4)],
      parameters: hasShift ? [gamma, beta] : [gamma]
    ) {
      let norm = $0.streamNorm(
        $1[0], residual: hasResidual ? $1[1] : nil, gamma: gamma, beta: hasShift ? beta : nil, epsilon: 1e-5)
      // The sum goes on beside the norm: the two gradients meet in it.
      return $0.add(norm.sum, norm.output)
    }
    #expect(error < 3e-3)
  }

  @Test func `the mean of each sequence's rows`() {
    #expect(worstGradientError(inputs: [randomTensor([9, 6], seed: 1)]) { $0.meanOfRows($1[0], offsets: offsets) } < 2e-3)
    let x = Tensor([1, 2, 3, 4, 5, 6, 0, 0, 6, 3, 0, 0, 0, 0, 0, 0, 4, 2], [9, 2])
    let y = Tape(recording: false).meanOfRows(Variable(constant: x), offsets: offsets).value
    #expect(y.array == [3, 4, 0, 0, 2, 1])
  }

  @Test func `rows of length 1`() {
    #expect(worstGradientError(inputs: [randomTensor([4, 6], seed: 1)]) { $0.unitRows($1[0]) } < 2e-3)
    let x = Variable(constant: Tensor([3, 4, 0, 0, 0, -2], [3, 2]))
    #expect(Tape(recording: false).unitRows(x).value.array == [0.6, 0.8, 0, 0, 0, -1])
  }

  @Test(arguments: Activation.allCases) func `every activation`(kind: Activation) {
    // Away from the kink of ReLU, where no derivative exists.
    let x = Tensor((0..<40).map { Float($0) * 0.23 - 4.63 }, [8, 5])
    #expect(worstGradientError(inputs: [x]) { $0.activation(kind, $1[0]) } < 3e-3)
  }

  @Test func `dropout scales what it keeps and passes gradients through the same mask`() {
    let x = randomTensor([9, 6], seed: 1)
    let keys = (0..<6).map { UInt32($0 * 7919 + 13) }
    let error = worstGradientError(inputs: [x]) {
      $0.dropout($1[0], offsets: offsets, keys: keys, probability: 0.4)
    }
    #expect(error < 2e-3)
    let y = Tape(recording: false).dropout(Variable(constant: x), offsets: offsets, keys: keys, probability: 0.4)
    for (kept, original) in zip(y.value.array, x.array) { #expect(kept == 0 || abs(kept - original / 0.6) < 1e-5) }
  }

  @Test(arguments: [(4, 4, false), (4, 2, true), (2, 1, false)])
  func `attention on packed sequences, grouped and causal too`(heads: Int, shared: Int, isCausal: Bool) {
    let options = AttentionOptions(heads: heads, keyValueHeads: shared, headSize: 8, isCausal: isCausal)
    let x = randomTensor([9, (heads + 2 * shared) * 8], seed: 5)
    #expect(worstGradientError(inputs: [x]) { $0.attention($1[0], offsets: offsets, options) } < 3e-3)
  }

  @Test(arguments: [(4, 2, true, 1), (2, 2, false, 1), (2, 1, false, 2)])
  func `attention with a window`(heads: Int, shared: Int, isCausal: Bool, reach: Int) {
    let options = AttentionOptions(
      heads: heads, keyValueHeads: shared, headSize: 8, isCausal: isCausal, reach: reach)
    let x = randomTensor([9, (heads + 2 * shared) * 8], seed: 5)
    #expect(worstGradientError(inputs: [x]) { $0.attention($1[0], offsets: offsets, options) } < 3e-3)
  }

  @Test func `attention with a bias by distance`() {
    let table = trainedParameter("t", [8, 2], seed: 3)
    let options = AttentionOptions(heads: 2, headSize: 8)
    let x = randomTensor([9, 48], seed: 6)
    let error = worstGradientError(inputs: [x], parameters: [table]) {
      $0.attention($1[0], offsets: offsets, options, bias: RelativeBias(table: table))
    }
    #expect(error < 3e-3)
  }

  @Test func `distances have the buckets of transformers`() {
    // The first distance of each bucket, as PyTorch computes them.
    let firsts = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91, 100_000]
    for bucket in 0..<16 {
      for distance in firsts[bucket]..<min(600, firsts[bucket + 1]) {
        #expect(RelativeBias.bucket(-distance, of: 32) == bucket, "\(distance)")
        if distance > 0 { #expect(RelativeBias.bucket(distance, of: 32) == 16 + bucket, "\(distance)") }
      }
    }
  }

  @Test func `attention with dropout on the probabilities`() {
    let keys = (0..<6).map { UInt32($0 * 104729 + 7) }
    let options = AttentionOptions(heads: 2, headSize: 8, dropout: (0.3, keys))
    let x = randomTensor([9, 48], seed: 6)
    #expect(worstGradientError(inputs: [x]) { $0.attention($1[0], offsets: offsets, options) } < 3e-3)
  }

  @Test func `selected rows receive the sum of their gradients, the others none`() {
    #expect(worstGradientError(inputs: [randomTensor([5, 3], seed: 1)]) { $0.selectRows($1[0], [4, 0, 4]) } < 2e-3)
  }

  @Test func `cross-entropy leaves out rows without a label`() {
    let error = worstGradientError(inputs: [randomTensor([6, 5], seed: 1)]) { tape, inputs in
      tape.crossEntropy(inputs[0], labels: [0, 4, 2, -1, 1, 3], denominator: 5).loss
    }
    #expect(error < 2e-3)
  }
}

@Suite struct TapeTests {
  @Test func `a value used twice receives both gradients`() {
    // y = x + (x selected in reverse): the first contribution is shared, the second is added to a copy of it.
    let (gamma, beta) = (trainedParameter("g", [4], seed: 1), trainedParameter("b", [4], seed: 2))
    let error = worstGradientError(inputs: [randomTensor([3, 4], seed: 3)]) { tape, inputs in
      let x = inputs[0]
      return tape.layerNorm(tape.selectRows(x, [2, 1, 0]), residual: x, gamma: gamma, beta: beta, epsilon: 1e-5)
    }
    #expect(error < 3e-3)
  }

  @Test func `a parameter is reported ready once, after its last use, and frozen ones never`() throws {
    let shared = trainedParameter("shared", [4, 4], seed: 1)
    let frozen = Parameter("frozen", randomTensor([4, 4], seed: 2), decays: true)
    let log = GradientLog()
    let tape = Tape(recording: true, observer: log)
    var x = tape.leaf(randomTensor([2, 4], seed: 3))
    x = tape.linear(x, weight: shared, bias: nil)
    x = tape.linear(x, weight: frozen, bias: nil)
    x = tape.linear(x, weight: shared, bias: nil)
    try tape.observedBackward(from: tape.weightedElements(x, randomTensor([2, 4], seed: 4)))
    #expect(log.needed == ["shared", "shared"] && log.ready == ["shared"])
    #expect(frozen.gradient == nil)
  }

  @Test func `nothing is recorded where nothing needs a gradient`() {
    let frozen = Parameter("frozen", randomTensor([4, 4], seed: 2), decays: true)
    let tape = Tape(recording: true)
    let y = tape.linear(Variable(constant: randomTensor([2, 4], seed: 3)), weight: frozen, bias: nil)
    #expect(!y.needsGradient)
  }
}
