import CKernels
import Foundation
import Testing

/// Packed sequences of a student and a teacher, with strides wider than their heads.
private struct Compared {
  var heads = 4
  var keyHeads = 4
  var size = 8
  var taughtHeads = 4
  var taughtKeyHeads = 4
  var taughtSize = 12
  var kind = RTK_COMPARE_KL
  var isCausal = false
  var reach: Int?
  /// q and k are the same vectors.
  var isRelation = false
  var lengths = [5, 0, 1, 17, 40]

  var offsets: [Int32] { lengths.reduce(into: [0]) { $0.append($0.last! + Int32($1)) } }
  var tokens: Int { Int(offsets.last!) }
  var pairs: Int { lengths.count * keyHeads }
  var qStride: Int { heads * size + 3 }
  var kStride: Int { isRelation ? qStride : keyHeads * size + 1 }
  var taughtQStride: Int { taughtHeads * taughtSize + 2 }
  var taughtKStride: Int { taughtKeyHeads * taughtSize }

  func shape(_ offsets: UnsafePointer<Int32>) -> rtk_attention_comparison {
    rtk_attention_comparison(
      offsets: offsets, B: lengths.count, kind: kind, causal: isCausal, reach: reach ?? .max, heads: heads,
      key_heads: keyHeads, size: size,
      teacher_heads: taughtHeads, teacher_key_heads: taughtKeyHeads, teacher_size: taughtSize, q_stride: qStride,
      k_stride: kStride, teacher_q_stride: taughtQStride, teacher_k_stride: taughtKStride,
      scale: 1 / Float(size).squareRoot(), teacher_scale: 1 / Float(taughtSize).squareRoot())
  }

  /// The scores of a query with the first keys of its sequence.
  private func scores(
    _ q: [Double], at from: Int, _ k: [Double], at first: Int, stride: Int, size: Int, keys: Int
  ) -> [Double] {
    let scale = 1 / Double(size).squareRoot()
    var scores = [Double](repeating: 0, count: keys)
    for j in 0..<keys {
      let to = first + j * stride
      var sum = 0.0
      for d in 0..<size { sum += q[from + d] * k[to + d] }
      scores[j] = scale * sum
    }
    return scores
  }

  /// A query's value, and its slopes with respect to the student's scores.
  private func compare(_ scores: [Double], _ target: [Double]) -> (value: Double, slopes: [Double]) {
    let x = kind == RTK_COMPARE_SCORES ? scores : Reference.softmax(scores, columns: scores.count)
    if kind == RTK_COMPARE_KL {
      var value = 0.0
      for j in x.indices where target[j] > 0 { value += target[j] * log(target[j] / x[j]) }
      return (value, zip(x, target).map { $0 - $1 })
    }
    let d = zip(x, target).map { $0 - $1 }
    if kind == RTK_COMPARE_SCORES { return (dot(d, d), d.map { 2 * $0 }) }
    let along = dot(x, d)
    return (dot(d, d), zip(x, d).map { 2 * $0 * ($1 - along) })
  }

  /// The value of every pair and the gradients of their sum, by the definition.
  func reference(
    _ q: [Double], _ k: [Double], _ taughtQ: [Double], _ taughtK: [Double]
  ) -> (values: [Double], dq: [Double], dk: [Double]) {
    var values = [Double](repeating: 0, count: pairs)
    var (dq, dk) = (q.map { _ in 0.0 }, k.map { _ in 0.0 })
    let scale = 1 / Double(size).squareRoot()
    for (b, length) in lengths.enumerated() {
      let start = Int(offsets[b])
      for h in 0..<heads {
        let g = h / (heads / keyHeads)
        for i in 0..<length {
          let earliest = max(0, i - (reach ?? i)) + start
          let keys = start + (isCausal ? i + 1 : min(length, i + 1 + (reach ?? length))) - earliest
          let (from, first) = ((start + i) * qStride + h * size, earliest * kStride + g * size)
          let taught = taughtHeads == heads ? [h] : Array(0..<taughtHeads)
          var target = [Double](repeating: 0, count: keys)
          for head in taught {
            let keyHead = head / (taughtHeads / taughtKeyHeads)
            var one = scores(
              taughtQ, at: (start + i) * taughtQStride + head * taughtSize, taughtK,
              at: earliest * taughtKStride + keyHead * taughtSize, stride: taughtKStride, size: taughtSize, keys: keys)
            if kind != RTK_COMPARE_SCORES { one = Reference.softmax(one, columns: keys) }
            for j in 0..<keys { target[j] += one[j] / Double(taught.count) }
          }
          let row = compare(scores(q, at: from, k, at: first, stride: kStride, size: size, keys: keys), target)
          values[b * keyHeads + g] += row.value
          for j in 0..<keys {
            let slope = scale * row.slopes[j]
            for d in 0..<size {
              dq[from + d] += slope * k[first + j * kStride + d]
              dk[first + j * kStride + d] += slope * q[from + d]
            }
          }
        }
      }
    }
    return isRelation ? (values, zip(dq, dk).map { $0 + $1 }, dk) : (values, dq, dk)
  }

  /// The kernel's values and gradients, the pairs being cut into calls at these numbers.
  func kernel(
    _ q: [Float], _ k: [Float], _ taughtQ: [Float], _ taughtK: [Float], factor: Float = 1, cuts: [Int] = [],
    withGradient: Bool = true
  ) -> (values: [Double], dq: [Float], dk: [Float]) {
    var values = [Double](repeating: .nan, count: pairs)
    var (dq, dk) = ([Float](repeating: 0.5, count: q.count), [Float](repeating: 0.5, count: k.count))
    offsets.withUnsafeBufferPointer { offsets in
      var shape = shape(offsets.baseAddress!)
      let count = rtk_compare_attention_scratch(&shape, lengths.max()!)
      var scratch = [Float](repeating: .nan, count: count)
      let bounds = [0] + cuts + [pairs]
      dq.withUnsafeMutableBufferPointer { dq in
        dk.withUnsafeMutableBufferPointer { dk in
          let (ofQ, ofK) = (dq.baseAddress!, isRelation ? dq.baseAddress! : dk.baseAddress!)
          q.withUnsafeBufferPointer { q in
            k.withUnsafeBufferPointer { k in
              let (fromQ, fromK) = (q.baseAddress!, isRelation ? q.baseAddress! : k.baseAddress!)
              for (from, to) in zip(bounds, bounds.dropFirst()) {
                rtk_compare_attention(
                  &shape, &values, withGradient ? ofQ : nil, withGradient ? ofK : nil, fromQ, fromK, taughtQ, taughtK,
                  factor, &scratch, from, to)
              }
            }
          }
        }
      }
    }
    return (values, dq, dk)
  }

  func random(_ seed: UInt64) -> (q: [Float], k: [Float], taughtQ: [Float], taughtK: [Float]) {
    var numbers = Numbers(seed)
    let q = numbers.floats(tokens * qStride, scale: 1.5)
    let k = numbers.floats(tokens * kStride, scale: 1.5)
    return (
      q, isRelation ? q : k, numbers.floats(tokens * taughtQStride, scale: 1.5),
      numbers.floats(tokens * taughtKStride, scale: 1.5)
    )
  }
}

private let comparisons = [RTK_COMPARE_SCORES, RTK_COMPARE_PROBABILITIES, RTK_COMPARE_KL]

extension KernelTests {
  private var shapes: [Compared] {
    var shapes = [
      Compared(), Compared(size: 17, taughtSize: 33),
      Compared(heads: 4, keyHeads: 2, size: 6, taughtHeads: 4, taughtKeyHeads: 1, taughtSize: 5),
      Compared(heads: 2, keyHeads: 2, size: 16, taughtHeads: 6, taughtKeyHeads: 3, taughtSize: 8),
      Compared(heads: 3, keyHeads: 1, size: 9, taughtHeads: 4, taughtKeyHeads: 4, taughtSize: 4),
      Compared(isRelation: true),
      Compared(heads: 2, keyHeads: 2, size: 12, taughtHeads: 3, taughtKeyHeads: 3, isRelation: true),
      Compared(heads: 4, keyHeads: 2, size: 6, taughtHeads: 4, taughtKeyHeads: 1, taughtSize: 5, reach: 3),
      Compared(heads: 2, keyHeads: 2, size: 16, taughtHeads: 6, taughtKeyHeads: 3, taughtSize: 8, reach: 5),
    ]
    shapes += shapes.map {
      var causal = $0
      causal.isCausal = true
      return causal
    }
    return shapes
  }

  /// Compares the kernel with the definition, and the definition's gradients with finite differences of its values.
  private func expectComparison(_ compared: Compared, _ what: String) {
    let (q, k, taughtQ, taughtK) = compared.random(90)
    let exact = (doubles(q), doubles(k), doubles(taughtQ), doubles(taughtK))
    let expected = compared.reference(exact.0, exact.1, exact.2, exact.3)
    var numbers = Numbers(91)
    let alongQ = doubles(numbers.floats(q.count))
    let alongK = compared.isRelation ? alongQ : doubles(numbers.floats(k.count))
    let measured = finiteDifferences([0]) { x in
      let movedQ = zip(exact.0, alongQ).map { $0 + x[0] * $1 }
      let movedK = zip(exact.1, alongK).map { $0 + x[0] * $1 }
      return compared.reference(movedQ, movedK, exact.2, exact.3).values.reduce(0, +)
    }[0]
    let along = dot(expected.dq, alongQ) + (compared.isRelation ? 0 : dot(expected.dk, alongK))
    #expect(abs(along - measured) <= 1e-6 * (abs(measured) + 1), "\(what)")
    onEverySet { name in
      let found = compared.kernel(q, k, taughtQ, taughtK, factor: 0.7)
      for (a, b) in zip(found.values, expected.values) {
        #expect(abs(a - b) <= 2e-6 * b + 1e-6, "\(name), \(what)")
      }
      let largest = (expected.dq + expected.dk).reduce(1) { max($0, abs($1)) }
      func check(_ gradient: [Float], _ expected: [Double], _ of: String) {
        expectClose(
          gradient, expected.map { 0.5 + 0.7 * $0 }, absolute: 2e-6 * largest, relative: 2e-6,
          "\(name), \(what), \(of)")
      }
      check(found.dq, expected.dq, "dq")
      if !compared.isRelation { check(found.dk, expected.dk, "dk") }
    }
  }

  @Test(arguments: comparisons)
  func `a comparison of attention and its gradients match the definition`(kind: rtk_comparison) {
    for (index, shape) in shapes.enumerated() {
      var compared = shape
      (compared.kind, compared.lengths) = (kind, [5, 0, 1, 17])
      expectComparison(compared, "kind \(kind.rawValue), shape \(index)")
    }
  }

  @Test(arguments: comparisons)
  func `a comparison of sequences longer than a block of queries matches the definition`(kind: rtk_comparison) {
    for (isCausal, taughtHeads, reach) in [(false, 2, nil), (true, 1, nil), (false, 2, 21), (true, 1, 90)] {
      let compared = Compared(
        heads: 2, keyHeads: 1, size: 3, taughtHeads: taughtHeads, taughtKeyHeads: 1, taughtSize: 2, kind: kind,
        isCausal: isCausal, reach: reach, lengths: [140, 260])
      expectComparison(compared, "kind \(kind.rawValue), causal \(isCausal)")
    }
  }

  @Test(arguments: comparisons)
  func `a pair's comparison is the same alone, among any sequences and however the pairs are cut`(
    kind: rtk_comparison
  ) {
    onEverySet { name in
      for taughtHeads in [4, 2] {
        let compared = Compared(keyHeads: 2, taughtHeads: taughtHeads, taughtKeyHeads: 2, kind: kind)
        let (q, k, taughtQ, taughtK) = compared.random(93)
        let whole = compared.kernel(q, k, taughtQ, taughtK)
        let cut = compared.kernel(q, k, taughtQ, taughtK, cuts: [1, 4, 7, 7])
        #expect(cut == whole, "\(name), kind \(kind.rawValue)")
        let values = compared.kernel(q, k, taughtQ, taughtK, withGradient: false)
        #expect(values.values == whole.values, "\(name)")
        #expect(values.dq.allSatisfy { $0 == 0.5 } && values.dk.allSatisfy { $0 == 0.5 }, "\(name)")
        // The fourth sequence alone.
        var alone = compared
        alone.lengths = [17]
        let (first, last) = (Int(compared.offsets[3]), Int(compared.offsets[4]))
        func part(_ x: [Float], _ stride: Int) -> [Float] { Array(x[first * stride..<last * stride]) }
        let found = alone.kernel(
          part(q, compared.qStride), part(k, compared.kStride), part(taughtQ, compared.taughtQStride),
          part(taughtK, compared.taughtKStride))
        #expect(found.values == Array(whole.values[6..<8]), "\(name)")
        #expect(found.dq == part(whole.dq, compared.qStride), "\(name)")
        #expect(found.dk == part(whole.dk, compared.kStride), "\(name)")
      }
    }
  }

  @Test(arguments: comparisons)
  func `attention compared with itself has the value 0 and no gradient`(kind: rtk_comparison) {
    onEverySet { name in
      for isCausal in [false, true] {
        var compared = Compared(taughtSize: 8, kind: kind, isCausal: isCausal)
        compared.lengths = [1, 7, 33]
        let (q, k, _, _) = compared.random(94)
        func packed(_ x: [Float], from stride: Int, to other: Int) -> [Float] {
          (0..<compared.tokens).flatMap { t in (0..<other).map { $0 < 32 ? x[t * stride + $0] : 0 } }
        }
        let found = compared.kernel(
          q, k, packed(q, from: compared.qStride, to: compared.taughtQStride),
          packed(k, from: compared.kStride, to: compared.taughtKStride))
        #expect(found.values.allSatisfy { $0 == 0 }, "\(name), kind \(kind.rawValue)")
        #expect(found.dq.allSatisfy { $0 == 0.5 } && found.dk.allSatisfy { $0 == 0.5 }, "\(name)")
      }
    }
  }
}
