import CKernels
import Testing

/// A case of attention with inputs and answers in bf16.
struct RoundedAttentionRun {
  let shape: AttentionCase
  /// The inputs, rounded to bf16 numbers.
  let exact: AttentionRun

  init(_ shape: AttentionCase) {
    let run = AttentionRun(shape)
    self.init(shape, q: run.q, k: run.k, v: run.v, dout: run.dout)
  }

  init(_ shape: AttentionCase, q: [Float], k: [Float], v: [Float], dout: [Float]) {
    self.shape = shape
    exact = AttentionRun(
      shape, q: Self.widened(Self.rounded(q)), k: Self.widened(Self.rounded(k)), v: Self.widened(Self.rounded(v)),
      dout: Self.widened(Self.rounded(dout)))
  }

  static func rounded(_ x: [Float]) -> [UInt16] {
    var words = [UInt16](repeating: 0, count: x.count)
    rtk_f32_to_bf16(&words, x, x.count)
    return words
  }

  static func widened(_ x: [UInt16]) -> [Float] {
    var floats = [Float](repeating: 0, count: x.count)
    rtk_bf16_to_f32(&floats, x, x.count)
    return floats
  }

  /// NaN in the elements of a matrix, 0 in the gaps between its rows.
  private func unset(_ count: Int, _ stride: Int, _ used: Int) -> [UInt16] {
    (0..<count).map { $0 % stride < used ? 0x7fff : 0 }
  }

  /// `cut`: the pair at which a second call begins.
  func forward(probabilities: Bool = true, cut: Int? = nil) -> (out: [Float], lse: [Float], p: [Float]) {
    let (q, k, v) = (Self.rounded(exact.q), Self.rounded(exact.k), Self.rounded(exact.v))
    var out = unset(exact.dout.count, shape.outStride, shape.heads * shape.size)
    var lse = [Float](repeating: .nan, count: shape.tokens * shape.heads)
    var p = [Float](repeating: .nan, count: shape.probabilityCount)
    shape.withShape { problem in
      p.withUnsafeMutableBufferPointer {
        for pairs in [0..<(cut ?? 0), (cut ?? 0)..<shape.pairs] {
          rtk_attention_forward_bf16(
            problem, &out, &lse, probabilities ? $0.baseAddress : nil, q, k, v, pairs.lowerBound, pairs.upperBound)
        }
      }
    }
    return (Self.widened(out), lse, p)
  }

  func backward(cut: Int? = nil) -> (dq: [Float], dk: [Float], dv: [Float]) {
    let (q, k, v) = (Self.rounded(exact.q), Self.rounded(exact.k), Self.rounded(exact.v))
    let (dout, lse) = (Self.rounded(exact.dout), forward(probabilities: false).lse)
    var dq = unset(q.count, shape.qStride, shape.heads * shape.size)
    var dk = unset(k.count, shape.kStride, shape.keyHeads * shape.size)
    var dv = unset(v.count, shape.vStride, shape.keyHeads * shape.size)
    shape.withShape { problem in
      for pairs in [0..<(cut ?? 0), (cut ?? 0)..<shape.pairs] {
        rtk_attention_backward_bf16(
          problem, &dq, &dk, &dv, dout, lse, q, k, v, pairs.lowerBound, pairs.upperBound)
      }
    }
    return (Self.widened(dq), Self.widened(dk), Self.widened(dv))
  }
}

extension KernelTests {
  private var roundedCases: [AttentionCase] {
    [
      AttentionCase(lengths: [1], size: 1),
      AttentionCase(lengths: [1, 3, 0, 17], heads: 2, keyHeads: 2, size: 16, gap: 5),
      AttentionCase(lengths: [13, 64], heads: 3, keyHeads: 3, size: 25),
      AttentionCase(lengths: [100, 7], heads: 2, keyHeads: 1, size: 64, causal: true),
      AttentionCase(lengths: [5, 33], heads: 4, keyHeads: 2, size: 17, causal: true, dropout: 0.2, gap: 3),
      AttentionCase(lengths: [40, 2], heads: 2, keyHeads: 2, size: 50, dropout: 0.5),
      AttentionCase(lengths: [70], heads: 2, keyHeads: 2, size: 100),
      // Several blocks of queries.
      AttentionCase(lengths: [300], heads: 2, keyHeads: 1, size: 4, dropout: 0.1),
      AttentionCase(lengths: [301, 20], heads: 2, keyHeads: 1, size: 5, causal: true),
    ] + AttentionCase.windowed + AttentionCase.biased
  }

  /// ‖actual − expected‖ / ‖expected‖ within the limit.
  private func expectNear(_ actual: [Float], _ expected: [Double], _ limit: Double, _ what: String) {
    let squares = zip(actual, expected).reduce(0.0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
    let norm = expected.reduce(0.0) { $0 + $1 * $1 }
    #expect(squares <= limit * limit * norm + 1e-12, "\(what): \((squares / norm).squareRoot())")
  }

  @Test func `attention in bf16 matches the definition to the rounding of its numbers`() {
    for shape in roundedCases {
      let run = RoundedAttentionRun(shape)
      let expected = shape.forward(doubles(run.exact.q), doubles(run.exact.k), doubles(run.exact.v))
      onEverySet { name in
        let (out, lse, p) = run.forward()
        // Two roundings: of the probabilities, by at most 2⁻⁹ each, which is at most 2⁻⁹ Σ p |v| <= 2⁻⁹ · 2 of the
        // output (dropout multiplies it by 1 / (1 − p)), and of the output itself.
        let largest = 2.0 / Double(1 - shape.dropout)
        expectClose(out, expected.out, absolute: largest / 511, relative: 1.0 / 511, "out, \(name), \(shape)")
        expectNear(out, expected.out, 3.5e-3, "out, \(name), \(shape)")
        // The scores are sums of exact products; nothing is rounded before.
        expectClose(lse, expected.lse, absolute: 2e-6, relative: 1e-6, "lse, \(name), \(shape)")
        expectClose(p, expected.p, absolute: 1e-6, relative: 1e-5, "p, \(name), \(shape)")
        let plain = run.forward(probabilities: false)
        #expect(plain.out == out && plain.lse == lse, "asking for probabilities changes nothing")
      }
    }
  }

  @Test func `attention gradients in bf16 match the chain rule to the rounding of its numbers`() {
    for shape in roundedCases where shape.tokens > 1 {
      let run = RoundedAttentionRun(shape)
      let expected = shape.backward(
        doubles(run.exact.q), doubles(run.exact.k), doubles(run.exact.v), dout: doubles(run.exact.dout), dp: nil)
      onEverySet { name in
        let (dq, dk, dv) = run.backward()
        // Factors and results are rounded, each by at most 2⁻⁹ = 2e-3 and with random sign.
        for (actual, exact, what) in [(dq, expected.dq, "dq"), (dk, expected.dk, "dk"), (dv, expected.dv, "dv")] {
          expectNear(actual, exact, 3.5e-3, "\(what), \(name), \(shape)")
        }
      }
    }
  }

  @Test(arguments: [nil, 16])
  func `in bf16 a sequence's result has the same bits alone, in any batch, and however the pairs are cut`(reach: Int?) {
    onEverySet { name in
      let together = AttentionCase(
        lengths: [9, 150, 14], heads: 4, keyHeads: 2, size: 20, causal: true, reach: reach, dropout: 0)
      let run = RoundedAttentionRun(together)
      let (all, gradients) = (run.forward(probabilities: false), run.backward())
      for cut in 1..<together.pairs {
        let part = run.backward(cut: cut)
        #expect(run.forward(probabilities: false, cut: cut).out == all.out, "\(name), \(cut)")
        #expect(part.dq == gradients.dq && part.dk == gradients.dk && part.dv == gradients.dv, "\(name), \(cut)")
      }
      var start = 0
      for length in together.lengths {
        func rows(_ x: [Float], _ stride: Int) -> [Float] { Array(x[start * stride..<(start + length) * stride]) }
        var alone = together
        alone.lengths = [length]
        let part = RoundedAttentionRun(
          alone, q: rows(run.exact.q, alone.qStride), k: rows(run.exact.k, alone.kStride),
          v: rows(run.exact.v, alone.vStride), dout: rows(run.exact.dout, alone.outStride))
        let own = part.backward()
        #expect(part.forward(probabilities: false).out == rows(all.out, alone.outStride), "\(name)")
        #expect(own.dq == rows(gradients.dq, alone.qStride), "\(name)")
        #expect(own.dk == rows(gradients.dk, alone.kStride), "\(name)")
        #expect(own.dv == rows(gradients.dv, alone.vStride), "\(name)")
        start += length
      }
    }
  }

  @Test func `in bf16 large scores do not overflow, and rows of a long sequence sum to one`() {
    onEverySet { name in
      let shape = AttentionCase(lengths: [2048], heads: 1, keyHeads: 1, size: 32)
      let ones = [Float](repeating: 1, count: 2048 * 32)
      let base = AttentionRun(shape)
      for scale in [1, 1000] as [Float] {
        let run = RoundedAttentionRun(shape, q: base.q.map { $0 * scale }, k: base.k, v: ones, dout: ones)
        let (out, lse, _) = run.forward(probabilities: false)
        expectClose(out, [Double](repeating: 1, count: out.count), absolute: 0.004, "\(name), \(scale)")
        #expect(lse.allSatisfy { $0.isFinite }, "\(name), \(scale)")
        #expect(run.backward().dq.allSatisfy { $0.isFinite }, "\(name), \(scale)")
      }
    }
  }
}
