import CKernels
import Foundation
import Testing

extension KernelTests {
  @Test func `ten AdamW steps follow the paper's formula`() {
    onEverySet { name in
      for n in Self.sizes {
        var numbers = Numbers(20)
        var p = numbers.floats(n)
        var m = [Float](repeating: 0, count: n)
        var v = m
        var (P, M, V) = (doubles(p), doubles(m), doubles(v))
        let (rate, beta1, beta2, eps, decay, clip) = (1e-2, 0.9, 0.999, 1e-8, 0.1, 0.25)
        for t in 1...10 {
          let g = numbers.floats(n)
          let (c1, c2) = (1 - pow(beta1, Double(t)), 1 - pow(beta2, Double(t)))
          var step = constants(t, rate: rate, decay: decay, clip: clip)
          rtk_adamw(&p, g, &m, &v, n, &step)
          for i in 0..<n {
            let gradient = Double(g[i]) * clip
            P[i] -= rate * decay * P[i]
            M[i] = beta1 * M[i] + (1 - beta1) * gradient
            V[i] = beta2 * V[i] + (1 - beta2) * gradient * gradient
            P[i] -= rate * (M[i] / c1) / ((V[i] / c2).squareRoot() + eps)
          }
        }
        expectClose(p, P, absolute: 1e-6, relative: 1e-6, name)
        expectClose(m, M, absolute: 1e-7, relative: 1e-5, name)
        expectClose(v, V, absolute: 0, relative: 1e-6, name)
      }
    }
  }

  @Test func `the first AdamW step moves each parameter by the learning rate against its gradient`() {
    onEverySet { name in
      var p: [Float] = [1, 1, 1]
      var m: [Float] = [0, 0, 0]
      var v = m
      var step = constants(1, rate: 0.1, decay: 0, clip: 1)
      step.epsilon = 0
      rtk_adamw(&p, [5, -5, 1e-4], &m, &v, 3, &step)
      expectClose(p, [0.9, 1.1, 0.9], name)
    }
  }

  @Test func `steps without a gradient that are taken later have the same bits`() {
    onEverySet { name in
      for n in Self.sizes {
        for (decay, missed) in [(0.0, 1), (0.01, 7), (0, 40), (0.1, 2_000)] {
          var numbers = Numbers(UInt64(n + missed))
          var p = numbers.floats(n)
          var m = [Float](repeating: 0, count: n)
          var v = m
          // Signed zeros and the smallest numbers too: they decay to numbers that cannot be halved.
          if n > 3 { (p[0], p[1]) = (-0.0, 0) }
          var g = numbers.floats(n)
          if n > 3 { g[2] = 1e-22 }
          var start = constants(1, rate: 1e-2, decay: decay, clip: 0.5)
          rtk_adamw(&p, g, &m, &v, n, &start)
          if n > 3 { (m[3], v[3]) = (-.leastNonzeroMagnitude, 0) }
          var (lateP, lateM, lateV) = (p, m, v)
          // A rate that rises and falls.
          let steps = (0..<missed).map { (k: Int) -> rtk_adamw_step in
            let rate: Double = 0.001 * Double(k % 11 + 1)
            return constants(k + 2, rate: rate, decay: decay, clip: 1 / Double(k + 1))
          }
          let nothing = [Float](repeating: 0, count: n)
          for step in steps {
            var step = step
            rtk_adamw(&p, nothing, &m, &v, n, &step)
          }
          rtk_adamw_idle(&lateP, &lateM, &lateV, n, steps, steps.count)
          for (now, late) in [(p, lateP), (m, lateM), (v, lateV)] {
            let (a, b): ([UInt32], [UInt32]) = (now.map(\.bitPattern), late.map(\.bitPattern))
            #expect(a == b, "\(name), \(n) elements, \(missed) steps")
          }
        }
      }
    }
  }

  /// The constants of step t as `AdamW` computes them, β₁ 0.9, β₂ 0.999, ε 1e-8.
  private func constants(_ t: Int, rate: Double, decay: Double, clip: Double) -> rtk_adamw_step {
    let (c1, c2) = (1 - pow(0.9, Double(t)), 1 - pow(0.999, Double(t)))
    return rtk_adamw_step(
      beta1: 0.9, rest1: 0.1, beta2: 0.999, rest2: 0.001, epsilon: 1e-8, keep: Float(1 - rate * decay),
      rate: Float(rate / c1), root_scale: Float(1 / c2.squareRoot()), gradient_scale: Float(clip))
  }
}
