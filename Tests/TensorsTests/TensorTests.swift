import TestSupport
import Testing

@testable import Tensors

@Suite struct TensorTests {
  @Test(arguments: [(false, false), (true, false), (false, true), (true, true)])
  func `matrix multiply agrees with the definition`(a: Bool, b: Bool) {
    let (m, k, n) = (3, 5, 4)
    let (x, y) = (randomTensor(a ? [k, m] : [m, k], seed: 1), randomTensor(b ? [n, k] : [k, n], seed: 2))
    let z = Tensor(repeating: 1, [m, n])
    matrixMultiply(x, transposeA: a, y, transposeB: b, into: z, accumulate: true)
    for i in 0..<m {
      for j in 0..<n {
        var sum: Float = 1
        for l in 0..<k { sum += x.floats[a ? l * m + i : i * k + l] * y.floats[b ? j * k + l : l * n + j] }
        #expect(abs(z.floats[i * n + j] - sum) < 1e-5)
      }
    }
  }

  @Test func `a product over nothing is zero, or leaves the sum as it is`() {
    let z = Tensor(repeating: 3, [2, 2])
    matrixMultiply(Tensor.zeros([2, 0]), Tensor.zeros([0, 2]), into: z, accumulate: true)
    #expect(z.array == [3, 3, 3, 3])
    matrixMultiply(Tensor.zeros([2, 0]), Tensor.zeros([0, 2]), into: z)
    #expect(z.array == [0, 0, 0, 0])
  }

  @Test func `the pool wastes less than a cache line and uses memory again`() {
    for bytes in [1, 300, 5000, 70_001, 9_999_999] {
      #expect(StoragePool.rounded(bytes) >= bytes && StoragePool.rounded(bytes) < bytes + 64)
    }
    let size = 123_456_789 / 4
    do { _ = Tensor(uninitialized: [size]) }
    let before = StoragePool.systemAllocations
    for _ in 0..<1000 { _ = Tensor(uninitialized: [size - 3]) }
    // Other tests allocate at the same time, but a thousand large blocks of their own would be no coincidence.
    #expect(StoragePool.systemAllocations - before < 1000)
  }

  @Test func `rows and slices share memory`() {
    let x = Tensor.zeros([4, 3])
    x.rows(1..<3).fill(2)
    x.slice(at: 0, [2]).fill(1)
    #expect(x.array == [1, 1, 0, 2, 2, 2, 2, 2, 2, 0, 0, 0])
  }
}

@Suite struct RandomStreamTests {
  @Test func `a stream depends on each part of its key, and on nothing else`() {
    func first(_ seed: UInt64, _ purpose: String, _ a: UInt64, _ b: UInt64) -> UInt64 {
      var stream = RandomStream(seed: seed, purpose: purpose, a, b)
      return stream.next()
    }
    let values = [
      first(1, "x", 0, 0), first(2, "x", 0, 0), first(1, "y", 0, 0), first(1, "x", 1, 0), first(1, "x", 0, 1),
    ]
    #expect(Set(values).count == 5)
    #expect(first(1, "x", 0, 0) == values[0])
  }

  private func normal(_ stream: inout RandomStream) -> Float {
    var number: [Float] = [0]
    number.withUnsafeMutableBufferPointer { stream.normals(deviation: 1, into: $0) }
    return number[0]
  }

  @Test func `many normal numbers are those that come one by one`() {
    for count in [0, 1, 2, 7, 64, 1_001] {
      var (one, many) = (RandomStream(seed: 9, purpose: "n"), RandomStream(seed: 9, purpose: "n"))
      var numbers = [Float](repeating: 0, count: count)
      numbers.withUnsafeMutableBufferPointer { many.normals(deviation: 0.5, into: $0) }
      #expect(numbers == (0..<count).map { _ in 0.5 * normal(&one) })
      #expect(one.next() == many.next())
    }
  }

  @Test func `normal numbers have mean 0 and variance 1`() {
    var stream = RandomStream(seed: 3, purpose: "normal")
    let n = 100_000
    var (sum, squares) = (0.0, 0.0)
    for _ in 0..<n {
      let x = Double(normal(&stream))
      sum += x
      squares += x * x
    }
    #expect(abs(sum / Double(n)) < 0.02)
    #expect(abs(squares / Double(n) - 1) < 0.03)
  }
}
