import CKernels
import Testing

extension KernelTests {
  /// Bit patterns over all exponents, with every kind of rounding.
  private var patterns: [Float] {
    var numbers = Numbers(7)
    let random = (0..<200_000).map { _ in Float(bitPattern: UInt32(truncatingIfNeeded: numbers.bits())) }
    // The midpoint above every half and every bfloat16, and its neighbours.
    let ties = (UInt32(0)..<0x8000).flatMap { half -> [Float] in
      let middle = (Float(Float16(bitPattern: UInt16(half))).bitPattern | 0x1000)
      let brain = half << 16 | 0x8000
      return [middle &- 1, middle, middle &+ 1, brain &- 1, brain, brain &+ 1].map(Float.init(bitPattern:))
    }
    return random + ties + [
      0, -0.0, 65504, 65519.996, 65520, 65536, .infinity, -.infinity, .nan, 5.9e-8, 2.98e-8, 2.9e-8,
    ]
  }

  @Test func `all halves become the float of the same value`() {
    onEverySet { name in
      let halves = (0...UInt16.max).map { $0 }
      var out = [Float](repeating: -99, count: halves.count)
      rtk_f16_to_f32(&out, halves, halves.count)
      for (half, float) in zip(halves, out) {
        let expected = Float(Float16(bitPattern: half))
        guard float.isNaN ? expected.isNaN : float.bitPattern == expected.bitPattern else {
          Issue.record("half \(half) became \(float), expected \(expected), \(name)")
          return
        }
      }
    }
  }

  @Test func `floats become the nearest half, ties to even`() {
    onEverySet { name in
      let x = patterns
      var out = [UInt16](repeating: 99, count: x.count)
      rtk_f32_to_f16(&out, x, x.count)
      for (float, half) in zip(x, out) {
        let expected = Float16(float)
        guard expected.isNaN ? Float16(bitPattern: half).isNaN : half == expected.bitPattern else {
          Issue.record("\(float) became \(Float16(bitPattern: half)), expected \(expected), \(name)")
          return
        }
      }
    }
  }

  @Test func `floats become the nearest bfloat16, ties to even, and come back unchanged`() {
    onEverySet { name in
      let x = patterns
      var out = [UInt16](repeating: 99, count: x.count)
      rtk_f32_to_bf16(&out, x, x.count)
      var back = [Float](repeating: 0, count: x.count)
      rtk_bf16_to_f32(&back, out, x.count)
      for (float, rounded) in zip(x, back) {
        let down = float.bitPattern & 0xffff_0000
        let low = float.bitPattern & 0xffff
        let up = low > 0x8000 || (low == 0x8000 && down & 0x10000 != 0)
        let expected = Float(bitPattern: up ? down &+ 0x10000 : down)
        guard float.isNaN ? rounded.isNaN : rounded.bitPattern == expected.bitPattern else {
          Issue.record("\(float) became \(rounded), expected \(expected), \(name)")
          return
        }
      }
    }
  }
}
