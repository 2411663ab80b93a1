import CKernels
import Foundation
import Testing

extension KernelTests {
  private func rounded(_ x: [Float]) -> [UInt16] {
    var out = [UInt16](repeating: 0, count: x.count)
    rtk_f32_to_bf16(&out, x, x.count)
    return out
  }

  @Test(arguments: [false, true])
  func `layer norm of a stream, its recomputation and its gradients match the definition`(hasShift: Bool) {
    onEverySet { name in
      for columns in Self.sizes where columns > 1 {
        let rows = 3
        var numbers = Numbers(70)
        let (x, residual) = (numbers.floats(rows * columns), numbers.floats(rows * columns))
        let (gamma, shift) = (numbers.floats(columns), numbers.floats(columns))
        let dy = rounded(numbers.floats(rows * columns)).map { Float(bitPattern: UInt32($0) << 16) }
        let before = numbers.floats(rows * columns)
        var (y, again, sum) = (x, x, x)
        var (mean, rstd) = ([Float](repeating: 0, count: rows), [Float](repeating: 0, count: rows))
        var words = [UInt16](repeating: 7, count: rows * columns + 1)
        var wordsAgain = words
        shift.withUnsafeBufferPointer {
          let beta = hasShift ? $0.baseAddress : nil
          rtk_stream_norm_forward(&y, &sum, &mean, &rstd, x, residual, gamma, beta, rows, columns, 1e-3)
          rtk_stream_norm_recompute(&again, sum, mean, rstd, gamma, beta, rows, columns)
          rtk_bf16_stream_norm_forward(&words, nil, &mean, &rstd, sum, nil, gamma, beta, rows, columns, 1e-3)
          rtk_bf16_stream_norm_recompute(&wordsAgain, sum, mean, rstd, gamma, beta, rows, columns)
        }
        #expect(again == y && sum == zip(x, residual).map { $0 + $1 }, "\(name), \(columns)")
        #expect(words == wordsAgain && Array(words.dropLast()) == rounded(y) && words.last == 7, "\(name), \(columns)")
        var (dx, dgamma, dbeta) = (x, [Float](repeating: 0.5, count: columns), [Float](repeating: 1, count: columns))
        var (dxSum, dxWords, dgammaWords) = (before, x, dgamma)
        rtk_stream_norm_backward(&dx, &dgamma, &dbeta, dy, sum, mean, rstd, gamma, rows, columns, false)
        rtk_stream_norm_backward(&dxSum, nil, nil, dy, sum, mean, rstd, gamma, rows, columns, true)
        rtk_bf16_stream_norm_backward(
          &dxWords, &dgammaWords, nil, rounded(dy), sum, mean, rstd, gamma, rows, columns, false)
        #expect(dxWords == dx && dgammaWords == dgamma, "\(name), \(columns)")
        var (expectedGamma, expectedBeta) = (dgamma.map { _ in 0.5 }, dgamma.map { _ in 1.0 })
        for r in 0..<rows {
          let row = (0..<columns).map { Double(sum[r * columns + $0]) }
          let center = row.reduce(0, +) / Double(columns)
          let variance = row.reduce(0) { $0 + ($1 - center) * ($1 - center) } / Double(columns)
          let normal = row.map { ($0 - center) / (variance + 1e-3).squareRoot() }
          let g = (0..<columns).map { Double(dy[r * columns + $0]) * Double(gamma[$0]) }
          let (plain, along) = (g.reduce(0, +) / Double(columns), dot(g, normal) / Double(columns))
          for c in 0..<columns {
            let i = r * columns + c
            let slope = (g[c] - plain - normal[c] * along) / (variance + 1e-3).squareRoot()
            let value = normal[c] * Double(gamma[c]) + (hasShift ? Double(shift[c]) : 0)
            #expect(abs(Double(y[i]) - value) < 1e-5, "\(name), \(columns)")
            #expect(abs(Double(dx[i]) - slope) < 1e-5 * max(1, abs(slope)), "\(name), \(columns)")
            #expect(abs(Double(dxSum[i]) - slope - Double(before[i])) < 1e-5 * max(1, abs(slope)), "\(name)")
            expectedGamma[c] += Double(dy[i]) * normal[c]
            expectedBeta[c] += Double(dy[i])
          }
        }
        for (mine, theirs) in zip(dgamma + dbeta, expectedGamma + expectedBeta) {
          #expect(abs(Double(mine) - theirs) < 1e-5, "\(name)")
        }
      }
    }
  }
}
