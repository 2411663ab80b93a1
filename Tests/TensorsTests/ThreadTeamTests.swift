import Synchronization
import Tensors
import TestSupport
import Testing

/// Tests that change the number of threads.
@Suite("Threads") struct ThreadTeamTests {
  @Test func `each part runs once, whatever the number of threads`() {
    withThreads(1...4) { _ in
      for parts in [0, 1, 2, 7, 100] {
        let calls = Mutex([Int](repeating: 0, count: parts))
        ThreadTeam.run(parts: parts) { part in calls.withLock { $0[part] += 1 } }
        #expect(calls.withLock { $0 } == [Int](repeating: 1, count: parts))
      }
    }
  }

  @Test func `several threads work at the same time`() {
    withThreads(2...2) { _ in
      // Each part waits for the other: one thread alone would never get to the second.
      let arrived = Atomic<Int>(0)
      ThreadTeam.run(parts: 2) { _ in
        arrived.wrappingAdd(1, ordering: .sequentiallyConsistent)
        while arrived.load(ordering: .sequentiallyConsistent) < 2 {}
      }
      #expect(arrived.load(ordering: .relaxed) == 2)
    }
  }

  @Test func `ranges cover all elements, begin at whole units, and are whole where the work is small`() {
    withThreads(1...3) { threads in
      for (count, unit, cost) in [(0, 1, 1), (5, 1, 1), (1000, 16, 1 << 12), (100_001, 64, 10), (3, 8, 1 << 20)] {
        let ranges = Mutex<[Range<Int>]>([])
        ThreadTeam.split(count, unit: unit, cost: cost) { range in ranges.withLock { $0.append(range) } }
        let sorted = ranges.withLock { $0.sorted { $0.lowerBound < $1.lowerBound } }
        #expect(sorted.flatMap { Array($0) } == Array(0..<count))
        #expect(sorted.allSatisfy { $0.lowerBound % unit == 0 && !$0.isEmpty })
        #expect(sorted.count == (count == 0 ? 0 : count * cost < 1 << 16 || count <= unit ? 1 : threads))
      }
    }
  }

  @Test func `a loop inside a loop runs`() {
    withThreads(2...2) { _ in
      let sum = Atomic<Int>(0)
      ThreadTeam.run(parts: 3) { _ in
        ThreadTeam.run(parts: 4) { sum.wrappingAdd($0, ordering: .relaxed) }
      }
      #expect(sum.load(ordering: .relaxed) == 18)
    }
  }

  @Test func `products of any form are those of one thread`() {
    for (m, n, k) in [(300, 260, 70), (7, 2000, 300), (2000, 7, 300)] {
      for (a, b) in [(false, false), (false, true), (true, false), (true, true)] {
        let x = randomTensor(a ? [k, m] : [m, k], seed: 1)
        let y = randomTensor(b ? [n, k] : [k, n], seed: 2)
        var results: [[Float]] = []
        withThreads(1...3) { _ in
          let z = Tensor(repeating: 2, [m, n])
          matrixMultiply(x, transposeA: a, y, transposeB: b, into: z, accumulate: true)
          results.append(z.array)
        }
        for result in results.dropFirst() {
          for (one, other) in zip(results[0], result) { #expect(abs(one - other) < 1e-3) }
        }
      }
    }
  }

  @Test(arguments: [DType.float32, .bfloat16])
  func `a product by rows is that of the definition, and the same bits on any number of threads`(type: DType) {
    let (rows, inputs, outputs) = (48, 200, 520)
    var (x, weight) = (randomTensor([rows, inputs], seed: 1), randomTensor([outputs, inputs], seed: 2))
    if type == .bfloat16 { (x, weight) = (x.bf16(), weight.bf16()) }
    let expected = Tensor(uninitialized: [rows, outputs])
    matrixMultiply(x, weight, transposeB: true, into: expected)
    var results: [[Float]] = []
    withThreads(1...3) { _ in
      let y = Tensor(repeating: .nan, [rows, outputs])
      rowProduct(x, weight, into: y)
      results.append(y.array)
    }
    for (a, b) in zip(results[0], expected.array) { #expect(abs(a - b) < 1e-3) }
    #expect(results[1] == results[0] && results[2] == results[0])
  }
}
