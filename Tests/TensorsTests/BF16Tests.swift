import CKernels
import Dispatch
import Synchronization
import TestSupport
import Testing

@testable import Tensors

/// Products of bf16 matrices. On a CPU for which oneDNN has none, the same tests hold the way through float32.
@Suite(.timeLimit(.minutes(2))) struct BF16Tests {
  /// The largest |got − want| / (1 + Σ|a·b|) of C = A·B (+ 1), want being summed in double over the rounded operands.
  func worstError(_ m: Int, _ n: Int, _ k: Int, _ transposeA: Bool, _ transposeB: Bool, _ accumulate: Bool) -> Double {
    let a = randomTensor(transposeA ? [k, m] : [m, k], seed: 1).bf16()
    let b = randomTensor(transposeB ? [n, k] : [k, n], seed: 2).bf16()
    let c = Tensor(repeating: 1, [m, n])
    matrixMultiply(a, transposeA: transposeA, b, transposeB: transposeB, into: c, accumulate: accumulate)
    let (x, y, z) = (a.float32().array, b.float32().array, c.array)
    var worst = 0.0
    for i in 0..<m {
      for j in 0..<n {
        var (sum, size) = (accumulate ? 1.0 : 0, 1.0)
        for l in 0..<k {
          let term = Double(x[transposeA ? l * m + i : i * k + l]) * Double(y[transposeB ? j * k + l : l * n + j])
          sum += term
          size += abs(term)
        }
        worst = max(worst, abs(Double(z[i * n + j]) - sum) / size)
      }
    }
    return worst
  }

  static let layouts = [(false, false), (true, false), (false, true), (true, true)]

  @Test(arguments: layouts, [false, true])
  func `products are sums in float32 of products of the rounded numbers`(layout: (Bool, Bool), accumulate: Bool) {
    for (m, n, k) in [(1, 1, 1), (1, 50, 33), (16, 16, 16), (3, 5, 7), (48, 50, 50), (65, 31, 130), (160, 96, 64)] {
      let error = worstError(m, n, k, layout.0, layout.1, accumulate)
      #expect(error < 1e-6, "\(m)×\(n)×\(k): \(error)")
    }
  }

  @Test func `a product without rows or over nothing is as in float32`() {
    func empty(_ shape: Shape) -> Tensor { Tensor(uninitialized: shape, .bfloat16) }
    matrixMultiply(empty([0, 4]), empty([4, 3]), into: .zeros([0, 3]))
    let c = Tensor(repeating: 3, [2, 2])
    matrixMultiply(empty([2, 0]), empty([0, 2]), into: c, accumulate: true)
    #expect(c.array == [3, 3, 3, 3])
    matrixMultiply(empty([2, 0]), empty([0, 2]), into: c)
    #expect(c.array == [0, 0, 0, 0])
  }

  static let activations: [rtk_activation?] = [
    nil, RTK_GELU, RTK_GELU_TANH, RTK_RELU, RTK_TANH, RTK_SILU, RTK_SIGMOID,
  ]

  @Test(arguments: [false, true], activations) func `bias and activation inside a product are those outside it`(
    hasBias: Bool, activation: rtk_activation?
  ) {
    for (m, n, k) in [(1, 16, 17), (48, 50, 64), (33, 128, 50)] {
      let (x, w) = (randomTensor([m, k], seed: 1).bf16(), randomTensor([n, k], seed: 2, scale: 0.3).bf16())
      let bias = hasBias ? randomTensor([n], seed: 3) : nil
      let want = Tensor(uninitialized: [m, n])
      matrixMultiply(x.float32(), w.float32(), transposeB: true, into: want)
      if let bias { rtk_add_bias(want.floats, bias.floats, m, n) }
      if let activation { rtk_activation_forward(activation, want.floats, want.floats, m * n) }
      let (exact, rounded) = (Tensor(uninitialized: [m, n]), Tensor(uninitialized: [m, n], .bfloat16))
      affineProduct(x, w, bias: bias, activation: activation, into: exact)
      affineProduct(x, w, bias: bias, activation: activation, into: rounded)
      for ((a, b), c) in zip(zip(exact.array, rounded.float32().array), want.array) {
        #expect(abs(a - c) < 2e-5 * (1 + abs(c)) && abs(b - c) <= abs(c) / 256 + 2e-5)
      }
    }
  }

  @Test func `a product that is used again gives the same bits`() {
    let (a, b) = (randomTensor([48, 64], seed: 3).bf16(), randomTensor([64, 32], seed: 4).bf16())
    let results = (0..<3).map { _ -> [Float] in
      let c = Tensor(uninitialized: [48, 32])
      matrixMultiply(a, b, into: c)
      return c.array
    }
    #expect(results[0] == results[1] && results[0] == results[2])
  }

  @Test func `several threads may multiply at the same time`() async {
    let (a, b) = (randomTensor([64, 128], seed: 5).bf16(), randomTensor([128, 64], seed: 6).bf16())
    let want = Tensor(uninitialized: [64, 64])
    matrixMultiply(a, b, into: want)
    await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<4 {
        group.addTask {
          (0..<50).allSatisfy { _ in
            let c = Tensor(uninitialized: [64, 64])
            matrixMultiply(a, b, into: c)
            return c.array == want.array
          }
        }
      }
      for await isSame in group { #expect(isSame) }
    }
  }

  @Test func `elements are read from memory that no other thread can take`() {
    // Reading a bf16 tensor's elements converts them in memory of the pool, which all threads take from.
    let wrong = Atomic<Int>(0)
    DispatchQueue.concurrentPerform(iterations: 8) { task in
      let want = [Float](repeating: Float(task), count: 100_000)
      let tensor = Tensor(want, [100, 1000]).bf16()
      for _ in 0..<1000 where tensor.array.last != want.last { wrong.wrappingAdd(1, ordering: .relaxed) }
    }
    #expect(wrong.load(ordering: .relaxed) == 0)
  }

  @Test func `more shapes than are kept still multiply`() {
    for rows in 1...600 {
      let c = Tensor(uninitialized: [rows, 1])
      matrixMultiply(
        Tensor(repeating: 1, [rows, 2]).bf16(), Tensor(repeating: 0.5, [2, 1]).bf16(), into: c)
      #expect(c.floats[0] == 1 && c.floats[rows - 1] == 1)
    }
  }

  @Test func `rounding to padded rows keeps the numbers and adds zeros`() {
    let x = randomTensor([21, 3], seed: 7)
    let padded = x.bf16WithPaddedRows()
    #expect(padded.shape == [32, 3])
    let values = padded.float32().array
    #expect(Array(values[..<63]) == x.bf16().float32().array && values[63...].allSatisfy { $0 == 0 })
    for (a, b) in zip(values, x.array) { #expect(abs(a - b) <= abs(b) / 256) }
    // A view with room behind it is widened where it lies, another one is copied.
    let roomy = Tensor.bf16(uninitializedRows: 21, columns: 3)
    #expect(roomy.shape == [21, 3] && roomy.withPaddedRows().shape == [32, 3])
    #expect(roomy.withPaddedRows().bf16Words == roomy.bf16Words)
    let whole = randomTensor([64, 64], seed: 8).bf16()
    let tight = whole.rows(43..<64)
    let copy = tight.withPaddedRows()
    #expect(copy.shape == [32, 64] && copy.bf16Words != tight.bf16Words)
    #expect(copy.rows(0..<21).float32().array == tight.float32().array)
    #expect(Tensor.zeros([0, 3]).bf16WithPaddedRows().shape == [0, 3])
    for rows in 0...5000 {
      let size = RowPadding.padded(rows)
      #expect(size >= rows && size - rows < max(16, rows / 15))
    }
  }
}
