import CKernels
import Testing

extension KernelTests {
  private func dropout(_ x: [Float], _ offsets: [Int32], _ keys: [UInt32], columns: Int, p: Float) -> [Float] {
    var out = [Float](repeating: -99, count: x.count)
    rtk_dropout(&out, x, offsets, keys, offsets.count - 1, columns, p)
    return out
  }

  @Test func `an element is kept exactly when the hash of its counter says so, on every set`() {
    onEverySet { name in
      for columns in [1, 3, 17, 64] {
        var numbers = Numbers(13)
        let offsets: [Int32] = [0, 1, 4, 4, 23]
        let keys = (0..<8).map { _ in UInt32(truncatingIfNeeded: numbers.bits()) }
        let x = numbers.floats(23 * columns)
        let out = dropout(x, offsets, keys, columns: columns, p: 0.3)
        for b in 0..<4 {
          for r in Int(offsets[b])..<Int(offsets[b + 1]) {
            for c in 0..<columns {
              let counter = UInt32((r - Int(offsets[b])) * columns + c)
              let factor = Reference.dropoutFactor(counter, keys[2 * b], keys[2 * b + 1], p: 0.3)
              #expect(out[r * columns + c] == x[r * columns + c] * factor, "\(name)")
            }
          }
        }
      }
    }
  }

  @Test func `the share of kept elements is 1 - p within four standard errors`() {
    onEverySet { name in
      let n = 1 << 18
      let ones = [Float](repeating: 1, count: n)
      for (key, p) in [(UInt32(0), Float(0.1)), (1, 0.1), (2, 0.5), (77, 0.9), (0xdead_beef, 0.01)] {
        let kept = dropout(ones, [0, Int32(n / 64)], [key, key &* 3], columns: 64, p: p).filter { $0 != 0 }
        let deviation = (Double(n) * Double(p) * Double(1 - p)).squareRoot()
        #expect(abs(Double(kept.count) - Double(n) * Double(1 - p)) < 4 * deviation, "p \(p), \(name)")
        #expect(kept.allSatisfy { $0 == 1 / (1 - p) })
      }
    }
  }

  @Test func `masks of neighbouring keys and of neighbouring elements are independent`() {
    let n = 1 << 18
    let ones = [Float](repeating: 0.5, count: n)  // kept: 1, dropped: 0
    func mask(_ key0: UInt32, _ key1: UInt32) -> [Float] {
      dropout(ones, [0, Int32(n)], [key0, key1], columns: 1, p: 0.5)
    }
    let first = mask(10, 20)
    let shifted = Array(first[1...]) + [first[0]]
    // The share of agreement of two independent fair masks is one half, with deviation 1 / (2 √n).
    for other in [mask(11, 20), mask(10, 21), mask(20, 10), shifted, mask(10 &+ 0x9e37_79b9, 20)] {
      let agreeing = zip(first, other).filter { $0 == $1 }.count
      // One mask is the other shifted by one element, so it is independent of it only in this sense.
      #expect(abs(Double(agreeing) / Double(n) - 0.5) < 2 / Double(n).squareRoot())
    }
  }

  @Test func `p 0 copies, p 1 drops all, and a dropped infinity is 0`() {
    onEverySet { name in
      let x: [Float] = [.infinity, 1, -2, .infinity, 5]
      #expect(dropout(x, [0, 5], [1, 2], columns: 1, p: 0) == x)
      #expect(dropout(x, [0, 5], [1, 2], columns: 1, p: 1) == [0, 0, 0, 0, 0])
      #expect(dropout(x, [0, 5], [1, 2], columns: 1, p: 0.999999) == [0, 0, 0, 0, 0], "\(name)")
    }
  }

  @Test func `a sequence's mask does not depend on its place in the batch`() {
    onEverySet { name in
      var numbers = Numbers(14)
      let x = numbers.floats(30 * 17)
      let together = dropout(x, [0, 11, 30], [1, 2, 3, 4], columns: 17, p: 0.2)
      let alone = dropout(Array(x[(11 * 17)...]), [0, 19], [3, 4], columns: 17, p: 0.2)
      #expect(Array(together[(11 * 17)...]) == alone, "\(name)")
    }
  }
}
