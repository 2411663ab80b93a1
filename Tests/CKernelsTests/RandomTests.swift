import CKernels
import Foundation
import Testing

extension KernelTests {
  @Test func `normal numbers follow the formula of Box and Muller, with the same bits in every set`() {
    func mix(_ word: UInt64) -> UInt64 {
      var z = word
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      return z ^ (z >> 31)
    }
    let (n, state) = (20_001, UInt64.max - 12_345)
    let expected = (0..<n).map { i -> Float in
      let step: UInt64 = 0x9e37_79b9_7f4a_7c15
      let u = Double((mix(state &+ UInt64(2 * i + 1) &* step) >> 11) + 1) * 0x1p-53
      let v = Double(mix(state &+ UInt64(2 * i + 2) &* step) >> 11) * 0x1p-53
      return 0.25 * Float((-2 * log(u)).squareRoot() * cos(2 * Double.pi * v))
    }
    var sets: [[Float]] = []
    onEverySet { name in
      var out = [Float](repeating: .nan, count: n + 1)
      rtk_normal_numbers(&out, state, 0.25, n)
      #expect(out[n].isNaN, "written past the end by \(name)")
      out.removeLast()
      #expect(zip(out, expected).allSatisfy { abs($0 - $1) <= $1.ulp }, "\(name)")
      var part = [Float](repeating: 0, count: 7)
      rtk_normal_numbers(&part, state, 0.25, 7)
      #expect(part == Array(out.prefix(7)), "\(name)")
      sets.append(out)
    }
    #expect(sets.allSatisfy { $0 == sets[0] })
  }
}
