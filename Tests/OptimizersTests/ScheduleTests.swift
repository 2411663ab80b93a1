import Tensors
import Testing

@testable import Optimizers

@Suite struct ScheduleTests {
  @Test func `linear: lr·i/warmup, then lr·(steps−i+1)/(steps−warmup)`() {
    let schedule = Schedule(.linear, peak: 3e-3, warmup: 3, total: 12)
    for i in 1...3 { #expect(abs(schedule.learningRate(step: i) - 3e-3 * Double(i) / 3) < 1e-12) }
    for i in 4...12 { #expect(abs(schedule.learningRate(step: i) - 3e-3 * Double(12 - i + 1) / 9) < 1e-12) }
  }

  @Test func `cosine starts at the peak and ends near zero; constant stays`() {
    let cosine = Schedule(.cosine, peak: 1, warmup: 2, total: 102)
    #expect(cosine.learningRate(step: 3) == 1)
    #expect(abs(cosine.learningRate(step: 53) - 0.5) < 1e-9)
    #expect(cosine.learningRate(step: 102) < 1e-3)
    #expect(Schedule(.constant, peak: 0.5, warmup: 0, total: 9).learningRate(step: 9) == 0.5)
  }

  @Test func `a run of one step and warm-up as long as the run are defined`() {
    #expect(Schedule(.linear, peak: 1, warmup: 0, total: 1).learningRate(step: 1) == 1)
    #expect(Schedule(.linear, peak: 1, warmup: 1, total: 1).learningRate(step: 1) == 1)
  }
}

@Suite struct AdamWTests {
  @Test func `a step is the paper's, with decay only where it belongs`() {
    let parameters = Tensor([1, -2, 3, 0.5], [4])
    let segments = [
      ParameterSegment(range: 0..<2, decays: true), ParameterSegment(range: 2..<4, decays: false),
    ]
    let configuration = AdamWConfiguration(weightDecay: 0.1)
    let optimizer = AdamW(configuration, segments: segments)
    var (p, m, v) = ([1.0, -2, 3, 0.5], [0.0, 0, 0, 0], [0.0, 0, 0, 0])
    for step in 1...5 {
      let g = (0..<4).map { Double($0 + 1) * 0.3 - Double(step) * 0.2 }
      optimizer.update(
        parameters, gradients: Tensor(g.map { Float($0) }, [4]), step: step, learningRate: 0.01, gradientScale: 0.5)
      for i in 0..<4 {
        let gradient = 0.5 * g[i]
        m[i] = 0.9 * m[i] + 0.1 * gradient
        v[i] = 0.999 * v[i] + 0.001 * gradient * gradient
        var (b1, b2) = (1.0, 1.0)
        for _ in 0..<step { (b1, b2) = (b1 * 0.9, b2 * 0.999) }
        if i < 2 { p[i] -= 0.01 * 0.1 * p[i] }
        p[i] -= 0.01 * (m[i] / (1 - b1)) / ((v[i] / (1 - b2)).squareRoot() + 1e-8)
      }
    }
    for i in 0..<4 { #expect(abs(Double(parameters.floats[i]) - p[i]) < 1e-5) }
  }

  @Test func `clipping divides by the norm only above the limit`() {
    #expect(Clipping.scale(norm: 0.5, limit: 1) == 1)
    #expect(abs(Clipping.scale(norm: 4, limit: 1) - 0.25) < 1e-6)
    #expect(Clipping.scale(norm: 4, limit: nil) == 1)
  }
}
