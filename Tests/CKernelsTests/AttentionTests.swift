import CKernels
import Testing

extension KernelTests {
  private var cases: [AttentionCase] {
    [
      AttentionCase(lengths: [1], size: 1),
      AttentionCase(lengths: [1, 3, 0, 17], heads: 2, keyHeads: 2, size: 16, gap: 5),
      AttentionCase(lengths: [13, 64], heads: 3, keyHeads: 3, size: 25),
      AttentionCase(lengths: [100, 7], heads: 2, keyHeads: 1, size: 64, causal: true),
      AttentionCase(lengths: [5, 33], heads: 4, keyHeads: 2, size: 17, causal: true, dropout: 0.2, gap: 3),
      AttentionCase(lengths: [40, 2], heads: 2, keyHeads: 2, size: 80, dropout: 0.5),
      // Several blocks of queries.
      AttentionCase(lengths: [300], heads: 2, keyHeads: 1, size: 4, dropout: 0.1),
      AttentionCase(lengths: [300, 20], heads: 2, keyHeads: 1, size: 5, causal: true),
    ] + AttentionCase.windowed + AttentionCase.biased
  }

  @Test func `attention, its log-sums and its probabilities match the definition`() {
    for shape in cases {
      let run = AttentionRun(shape)
      let expected = shape.forward(doubles(run.q), doubles(run.k), doubles(run.v))
      onEverySet { name in
        let (out, lse, p) = run.forward()
        expectClose(out, expected.out, absolute: 2e-6, relative: 2e-6, "out, \(name), \(shape)")
        expectClose(lse, expected.lse, absolute: 1e-6, relative: 1e-6, "lse, \(name), \(shape)")
        expectClose(p, expected.p, absolute: 1e-6, relative: 1e-5, "p, \(name), \(shape)")
        let plain = run.forward(probabilities: false)
        #expect(plain.out == out && plain.lse == lse, "asking for probabilities changes nothing")
      }
    }
  }

  @Test func `attention gradients match the chain rule, with and without a gradient of the probabilities`() {
    for shape in cases {
      let run = AttentionRun(shape)
      for withProbabilities in [false, true] {
        let expected = shape.backward(
          doubles(run.q), doubles(run.k), doubles(run.v), dout: doubles(run.dout),
          dp: withProbabilities ? doubles(run.dp) : nil)
        onEverySet { name in
          let (dq, dk, dv) = run.backward(probabilities: withProbabilities)
          expectClose(dq, expected.dq, absolute: 2e-5, relative: 1e-5, "dq, \(name), \(shape)")
          expectClose(dk, expected.dk, absolute: 4e-5, relative: 1e-5, "dk, \(name), \(shape)")
          expectClose(dv, expected.dv, absolute: 1e-5, relative: 1e-5, "dv, \(name), \(shape)")
        }
      }
    }
  }

  @Test func `attention gradients are the slopes of the definition`() {
    let shapes = [
      AttentionCase(lengths: [1, 3, 5], heads: 2, keyHeads: 1, size: 5, gap: 1),
      AttentionCase(lengths: [4], heads: 2, keyHeads: 2, size: 3, causal: true, dropout: 0.4),
      AttentionCase(lengths: [1, 7], heads: 2, keyHeads: 1, size: 3, reach: 2, dropout: 0.4),
      AttentionCase(lengths: [21], heads: 1, keyHeads: 1, size: 2, causal: true, reach: 4),
    ]
    for shape in shapes {
      let run = AttentionRun(shape)
      let (q, k, v) = (doubles(run.q), doubles(run.k), doubles(run.v))
      func loss(_ q: [Double], _ k: [Double], _ v: [Double]) -> Double {
        let result = shape.forward(q, k, v)
        return dot(result.out, doubles(run.dout)) + dot(result.p, doubles(run.dp))
      }
      let dQ = finiteDifferences(q) { loss($0, k, v) }
      let dK = finiteDifferences(k) { loss(q, $0, v) }
      let dV = finiteDifferences(v) { loss(q, k, $0) }
      onEverySet { name in
        let (dq, dk, dv) = run.backward(probabilities: true)
        expectClose(dq, dQ, absolute: 1e-5, relative: 1e-5, "dq, \(name), \(shape)")
        expectClose(dk, dK, absolute: 1e-5, relative: 1e-5, "dk, \(name), \(shape)")
        expectClose(dv, dV, absolute: 1e-5, relative: 1e-5, "dv, \(name), \(shape)")
      }
    }
  }

  @Test(arguments: [nil, 16])
  func `a sequence's result has the same bits alone and in any batch`(reach: Int?) {
    onEverySet { name in
      let together = AttentionCase(lengths: [9, 150, 14], heads: 2, keyHeads: 1, size: 20, causal: true, reach: reach)
      let run = AttentionRun(together)
      let all = run.forward(probabilities: false)
      let allGradients = run.backward(probabilities: false)
      var start = 0
      for length in together.lengths {
        func rows(_ x: [Float], _ stride: Int) -> [Float] { Array(x[start * stride..<(start + length) * stride]) }
        var alone = together
        alone.lengths = [length]
        let part = AttentionRun(
          alone, q: rows(run.q, alone.qStride), k: rows(run.k, alone.kStride), v: rows(run.v, alone.vStride),
          dout: rows(run.dout, alone.outStride))
        #expect(part.forward(probabilities: false).out == rows(all.out, alone.outStride), "\(name)")
        let gradients = part.backward(probabilities: false)
        #expect(gradients.dq == rows(allGradients.dq, alone.qStride), "\(name)")
        #expect(gradients.dk == rows(allGradients.dk, alone.kStride), "\(name)")
        #expect(gradients.dv == rows(allGradients.dv, alone.vStride), "\(name)")
        start += length
      }
    }
  }

  @Test func `a window that holds the whole sequence changes no bit, in float32 and in bf16`() {
    onEverySet { name in
      for causal in [false, true] {
        let plain = AttentionCase(
          lengths: [5, 150, 14], heads: 2, keyHeads: 1, size: 20, causal: causal, dropout: 0.1)
        var windowed = plain
        windowed.reach = 149
        let (a, b) = (AttentionRun(plain), AttentionRun(windowed))
        #expect(a.forward() == b.forward(), "\(name), causal \(causal)")
        #expect(a.backward(probabilities: true) == b.backward(probabilities: true), "\(name), causal \(causal)")
        let (c, d) = (RoundedAttentionRun(plain), RoundedAttentionRun(windowed))
        #expect(c.forward() == d.forward() && c.backward() == d.backward(), "\(name), causal \(causal)")
      }
    }
  }

  @Test func `the gradient of a bias by distance is that of the scores, sequence by sequence`() {
    for shape in AttentionCase.biased {
      let run = AttentionRun(shape)
      let expected = shape.backward(doubles(run.q), doubles(run.k), doubles(run.v), dout: doubles(run.dout), dp: nil)
      onEverySet { name in
        expectClose(run.biasGradients(), expected.dbias, absolute: 2e-5, relative: 1e-5, "dbias, \(name), \(shape)")
      }
    }
  }

  @Test func `a token without another in its window keeps its own value`() {
    onEverySet { name in
      let run = AttentionRun(AttentionCase(lengths: [100], size: 16, reach: 0))
      let (out, _, p) = run.forward()
      expectClose(out, doubles(run.v), absolute: 1e-6, name)
      for i in 0..<100 { #expect(p[i * 100 + i] == 1 && p[i * 100..<(i + 1) * 100].reduce(0, +) == 1, "\(name)") }
    }
  }

  @Test func `two thousand tokens with one value have that value as output, and the mean of the gradient`() {
    onEverySet { name in
      let shape = AttentionCase(lengths: [2048], heads: 1, keyHeads: 1, size: 32)
      let run = AttentionRun(
        shape, q: [Float](repeating: 1, count: 2048 * 32), k: [Float](repeating: 0.5, count: 2048 * 32),
        v: [Float](repeating: 3, count: 2048 * 32), dout: [Float](repeating: 2, count: 2048 * 32))
      let (out, lse, _) = run.forward(probabilities: false)
      expectClose(out, [Double](repeating: 3, count: out.count), absolute: 1e-5, name)
      expectClose(lse, [Double](repeating: 16 * shape.scale + 7.6246189861593985, count: 2048), absolute: 1e-5, name)
      let (dq, dk, dv) = run.backward(probabilities: false)
      expectClose(dq, [Double](repeating: 0, count: dq.count), absolute: 1e-4, name)
      expectClose(dk, [Double](repeating: 0, count: dq.count), absolute: 1e-4, name)
      expectClose(dv, [Double](repeating: 2, count: dv.count), absolute: 1e-4, name)
    }
  }

  @Test func `large scores do not overflow`() {
    onEverySet { name in
      let shape = AttentionCase(lengths: [20], size: 4)
      let base = AttentionRun(shape)
      let run = AttentionRun(shape, q: base.q.map { $0 * 1e4 }, k: base.k.map { $0 * 1e4 }, v: base.v, dout: base.dout)
      let (out, lse, p) = run.forward()
      #expect(out.allSatisfy(\.isFinite) && lse.allSatisfy(\.isFinite), "\(name)")
      for i in 0..<20 { #expect(abs(p[i * 20..<(i + 1) * 20].reduce(0, +) - 1) < 1e-5) }
    }
  }

  @Test func `the instruction sets agree within rounding`() {
    let run = AttentionRun(AttentionCase(lengths: [50, 13], heads: 2, keyHeads: 2, size: 24, dropout: 0.1))
    #expect(rtk_select_isa("baseline") == 0)
    let expected = run.forward()
    let gradients = run.backward(probabilities: true)
    onEverySet { name in
      expectClose(run.forward().out, doubles(expected.out), absolute: 4e-6, name)
      let (dq, dk, dv) = run.backward(probabilities: true)
      expectClose(dq, doubles(gradients.dq), absolute: 4e-5, name)
      expectClose(dk, doubles(gradients.dk), absolute: 4e-5, name)
      expectClose(dv, doubles(gradients.dv), absolute: 4e-5, name)
    }
  }
}
