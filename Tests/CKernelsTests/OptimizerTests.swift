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
          var step = rtk_adamw_step(
            learning_rate: Float(rate), beta1: Float(beta1), beta2: Float(beta2), epsilon: Float(eps),
            weight_decay: Float(decay), gradient_scale: Float(clip), bias_correction1: Float(c1),
            bias_correction2: Float(c2))
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
      var step = rtk_adamw_step(
        learning_rate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 0, weight_decay: 0, gradient_scale: 1,
        bias_correction1: 0.1, bias_correction2: 0.001)
      rtk_adamw(&p, [5, -5, 1e-4], &m, &v, 3, &step)
      expectClose(p, [0.9, 1.1, 0.9], name)
    }
  }
}
