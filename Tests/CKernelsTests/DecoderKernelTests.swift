import CKernels
import Foundation
import Testing

/// The kernels of decoders against plain loops in double.
extension KernelTests {
  private func rounded(_ x: [Float]) -> [UInt16] {
    var out = [UInt16](repeating: 0, count: x.count)
    rtk_f32_to_bf16(&out, x, x.count)
    return out
  }

  private func widened(_ x: [UInt16]) -> [Float] { x.map { Float(bitPattern: UInt32($0) << 16) } }

  @Test func `RMS norm of a sum, its recomputation and its gradients match the definition`() {
    onEverySet { name in
      for columns in Self.sizes where columns > 0 {
        let rows = 3
        var numbers = Numbers(70)
        let (x, residual) = (numbers.floats(rows * columns), numbers.floats(rows * columns))
        let (gamma, dy) = (numbers.floats(columns), widened(rounded(numbers.floats(rows * columns))))
        let before = numbers.floats(rows * columns)
        var (y, again, sum) = (x, x, x)
        var rstd = [Float](repeating: 0, count: rows)
        rtk_rms_norm_forward(&y, &sum, &rstd, x, residual, gamma, rows, columns, 1e-3)
        rtk_rms_norm_recompute(&again, sum, rstd, gamma, rows, columns)
        #expect(again == y && sum == zip(x, residual).map { $0 + $1 }, "\(name), \(columns)")
        var words = [UInt16](repeating: 7, count: rows * columns + 1)
        var wordsAgain = words
        rtk_bf16_rms_norm_forward(&words, nil, &rstd, sum, nil, gamma, rows, columns, 1e-3)
        rtk_bf16_rms_norm_recompute(&wordsAgain, sum, rstd, gamma, rows, columns)
        #expect(words == wordsAgain && Array(words.dropLast()) == rounded(y) && words.last == 7, "\(name), \(columns)")
        var (dx, dgamma) = (x, [Float](repeating: 0.5, count: columns))
        var (dxSum, dxWords, dgammaWords) = (before, x, dgamma)
        rtk_rms_norm_backward(&dx, &dgamma, dy, sum, rstd, gamma, rows, columns, false)
        rtk_rms_norm_backward(&dxSum, nil, dy, sum, rstd, gamma, rows, columns, true)
        rtk_bf16_rms_norm_backward(&dxWords, &dgammaWords, rounded(dy), sum, rstd, gamma, rows, columns, false)
        #expect(dxWords == dx && dgammaWords == dgamma, "\(name), \(columns)")
        var expectedGamma = [Double](repeating: 0.5, count: columns)
        for r in 0..<rows {
          let row = (0..<columns).map { Double(sum[r * columns + $0]) }
          let scale = 1 / (row.reduce(0) { $0 + $1 * $1 } / Double(columns) + 1e-3).squareRoot()
          let g = (0..<columns).map { Double(dy[r * columns + $0]) * Double(gamma[$0]) }
          let along = zip(g, row).reduce(0) { $0 + $1.0 * $1.1 * scale } / Double(columns)
          for c in 0..<columns {
            let i = r * columns + c
            let slope = scale * (g[c] - row[c] * scale * along)
            #expect(abs(Double(y[i]) - row[c] * scale * Double(gamma[c])) < 1e-5, "\(name), \(columns)")
            #expect(abs(Double(dx[i]) - slope) < 1e-5, "\(name), \(columns)")
            #expect(abs(Double(dxSum[i]) - slope - Double(before[i])) < 1e-5, "\(name), \(columns)")
            expectedGamma[c] += Double(dy[i]) * row[c] * scale
          }
        }
        for (mine, theirs) in zip(dgamma, expectedGamma) { #expect(abs(Double(mine) - theirs) < 1e-5, "\(name)") }
      }
    }
  }

  @Test func `norms of heads and their gradients match the definition`() {
    onEverySet { name in
      for size in [1, 3, 8, 16, 20, 33] {
        let (rows, heads, groups) = (3, 4, 2)
        let (normed, stride) = ((heads + groups) * size, (heads + 2 * groups) * size)
        var numbers = Numbers(73)
        let (x, dy) = (widened(rounded(numbers.floats(rows * stride))), widened(rounded(numbers.floats(rows * stride))))
        let (query, key) = (numbers.floats(size), numbers.floats(size))
        var (y, rstd) = (x, [Float](repeating: 0, count: rows * (heads + groups)))
        var (words, wordScales) = (rounded(x), rstd)
        let same = x
        rtk_head_norm_forward(&y, &rstd, same, query, key, rows, heads, groups, size, 1e-3)
        rtk_bf16_head_norm_forward(&words, &wordScales, rounded(x), query, key, rows, heads, groups, size, 1e-3)
        #expect(words == rounded(y) && wordScales == rstd, "\(name), \(size)")
        var (dx, dquery, dkey) = (dy, [Float](repeating: 0.5, count: size), [Float](repeating: 0.25, count: size))
        var (dwords, wordQuery, wordKey) = (rounded(dy), dquery, dkey)
        rtk_head_norm_backward(&dx, &dquery, &dkey, dy, x, rstd, query, key, rows, heads, groups, size)
        rtk_bf16_head_norm_backward(
          &dwords, &wordQuery, &wordKey, rounded(dy), rounded(x), rstd, query, key, rows, heads, groups, size)
        #expect(dwords == rounded(dx) && wordQuery == dquery && wordKey == dkey, "\(name), \(size)")
        var expected = [[Double](repeating: 0.5, count: size), [Double](repeating: 0.25, count: size)]
        for r in 0..<rows {
          for h in 0..<heads + groups {
            let (at, gamma) = (r * stride + h * size, h < heads ? query : key)
            let row = (0..<size).map { Double(x[at + $0]) }
            let scale = 1 / (row.reduce(0) { $0 + $1 * $1 } / Double(size) + 1e-3).squareRoot()
            let g = (0..<size).map { Double(dy[at + $0]) * Double(gamma[$0]) }
            let along = zip(g, row).reduce(0) { $0 + $1.0 * $1.1 * scale } / Double(size)
            for c in 0..<size {
              #expect(abs(Double(y[at + c]) - row[c] * scale * Double(gamma[c])) < 1e-5, "\(name), \(size)")
              #expect(abs(Double(dx[at + c]) - scale * (g[c] - row[c] * scale * along)) < 2e-5, "\(name), \(size)")
              expected[h < heads ? 0 : 1][c] += Double(dy[at + c]) * row[c] * scale
            }
          }
          let values = r * stride + normed..<(r + 1) * stride
          #expect(y[values] == x[values] && dx[values] == dy[values], "\(name), \(size)")
        }
        for (mine, theirs) in zip(dquery + dkey, expected[0] + expected[1]) {
          #expect(abs(Double(mine) - theirs) < 2e-5, "\(name), \(size)")
        }
      }
    }
  }

  @Test func `heads are rotated by the angles of their rows, and back`() {
    onEverySet { name in
      for half in [1, 3, 4, 8, 16, 20, 32] {
        let (heads, stride, positions): (Int, Int, [Int32]) = (2, 5 * half, [2, 0, 1])
        var numbers = Numbers(71)
        let x = widened(rounded(numbers.floats(3 * stride)))
        let angles = (0..<3 * half).map { Double($0) * 0.37 }
        let table = (0..<3).flatMap { p -> [Float] in
          let row = angles[p * half..<(p + 1) * half]
          return row.map { Float(cos($0)) } + row.map { Float(sin($0)) }
        }
        var (turned, words) = (x, rounded(x))
        rtk_rotate(&turned, table, positions, 3, stride, heads, 2 * half, false)
        rtk_bf16_rotate(&words, table, positions, 3, stride, heads, 2 * half, false)
        #expect(words == rounded(turned), "\(name), \(half)")
        for r in 0..<3 {
          for h in 0..<heads {
            for i in 0..<half {
              let (first, angle) = (r * stride + h * 2 * half + i, angles[Int(positions[r]) * half + i])
              let (a, b) = (Double(x[first]), Double(x[first + half]))
              #expect(abs(Double(turned[first]) - (a * cos(angle) - b * sin(angle))) < 1e-6, "\(name), \(half)")
              #expect(abs(Double(turned[first + half]) - (b * cos(angle) + a * sin(angle))) < 1e-6, "\(name), \(half)")
            }
          }
          // The values, which follow the heads in a row, are not rotated.
          let rest = r * stride + 4 * half..<(r + 1) * stride
          #expect(turned[rest] == x[rest], "\(name), \(half)")
        }
        rtk_rotate(&turned, table, positions, 3, stride, heads, 2 * half, true)
        for (a, b) in zip(turned, x) { #expect(abs(a - b) < 1e-6, "\(name), \(half)") }
      }
    }
  }

  @Test func `gated units and their gradients are the activation's, times the ups`() {
    let kinds = [RTK_GELU, RTK_GELU_TANH, RTK_RELU, RTK_TANH, RTK_SILU, RTK_SIGMOID]
    onEverySet { name in
      for (kind, columns) in kinds.flatMap({ kind in Self.sizes.filter { $0 > 0 }.map { (kind, $0) } }) {
        var numbers = Numbers(72)
        let rows = 2
        let x = widened(rounded(numbers.floats(rows * 2 * columns, scale: 4)))
        let dy = widened(rounded(numbers.floats(rows * columns)))
        var (y, dx) = ([Float](repeating: 0, count: rows * columns), x)
        rtk_gated_forward(kind, &y, x, rows, columns)
        rtk_gated_backward(kind, &dx, dy, x, rows, columns)
        for r in 0..<rows {
          let gate = Array(x[2 * r * columns..<(2 * r + 1) * columns])
          let up = Array(x[(2 * r + 1) * columns..<(2 * r + 2) * columns])
          let d = Array(dy[r * columns..<(r + 1) * columns])
          var (f, slope) = (gate, gate)
          rtk_activation_forward(kind, &f, gate, columns)
          rtk_activation_backward(kind, &slope, [Float](repeating: 1, count: columns), gate, columns)
          for c in 0..<columns {
            let at = 2 * r * columns + c
            #expect(y[r * columns + c] == f[c] * up[c], "\(name), \(kind), \(columns)")
            #expect(abs(dx[at] - d[c] * up[c] * slope[c]) <= 1e-5 * (1 + abs(dx[at])), "\(name), \(kind), \(columns)")
            #expect(dx[at + columns] == d[c] * f[c], "\(name), \(kind), \(columns)")
          }
        }
        var (words, slopes) = (
          [UInt16](repeating: 7, count: rows * columns + 1), [UInt16](repeating: 7, count: x.count + 1)
        )
        rtk_bf16_gated_forward(kind, &words, rounded(x), rows, columns)
        rtk_bf16_gated_backward(kind, &slopes, rounded(dy), rounded(x), rows, columns)
        #expect(Array(words.dropLast()) == rounded(y) && Array(slopes.dropLast()) == rounded(dx), "\(name), \(kind)")
        #expect(words.last == 7 && slopes.last == 7, "written past the end by \(name)")
      }
    }
  }

  @Test func `a product with one row matches the definition in float32 and bf16 for every number of inputs`() {
    onEverySet { name in
      for inputs in Self.sizes where inputs > 0 {
        var numbers = Numbers(73)
        let outputs = 5
        let (x, w) = (numbers.floats(inputs), widened(rounded(numbers.floats(inputs * outputs))))
        var (y, z) = ([Float](repeating: 7, count: outputs), [Float](repeating: 7, count: outputs))
        rtk_matvec(&y, x, w, inputs, 1, 4)
        rtk_bf16_matvec(&z, x, rounded(w), inputs, 0, 5)
        #expect(y[0] == 7 && y[4] == 7 && Array(y[1..<4]) == Array(z[1..<4]), "\(name), \(inputs)")
        for n in 0..<outputs {
          let expected = (0..<inputs).reduce(0.0) { $0 + Double(x[$1]) * Double(w[n * inputs + $1]) }
          #expect(abs(Double(z[n]) - expected) < 1e-5 * Double(inputs).squareRoot(), "\(name), \(inputs)")
        }
      }
    }
  }

  @Test func `attention of one token over the KV cache is the last row of attention`() {
    onEverySet { name in
      for (length, size) in [(1, 4), (3, 8), (40, 20), (70, 64), (3000, 16)] {
        let (heads, shared) = (6, 2)
        var numbers = Numbers(74)
        let q = widened(rounded(numbers.floats(heads * size)))
        let (k, v) = (
          widened(rounded(numbers.floats(length * shared * size))),
          widened(rounded(numbers.floats(length * shared * size)))
        )
        var out = [Float](repeating: 7, count: heads * size)
        var words = [UInt16](repeating: 7, count: heads * size)
        rtk_attention_step(&out, q, k, v, length, heads, shared, size, 0.3, 0, 1)
        #expect(out[(heads / shared * size)...].allSatisfy { $0 == 7 }, "\(name) wrote another head")
        rtk_attention_step(&out, q, k, v, length, heads, shared, size, 0.3, 1, 2)
        rtk_bf16_attention_step(&words, rounded(q), rounded(k), rounded(v), length, heads, shared, size, 0.3, 0, 2)
        #expect(words == rounded(out), "\(name), \(length)")
        for h in 0..<heads {
          func row(_ x: [Float], _ j: Int) -> [Double] {
            (0..<size).map { Double(x[(j * shared + h / (heads / shared)) * size + $0]) }
          }
          let query = (0..<size).map { Double(q[h * size + $0]) }
          let scores = (0..<length).map { j in 0.3 * zip(query, row(k, j)).reduce(0) { $0 + $1.0 * $1.1 } }
          let p = Reference.softmax(scores, columns: length)
          for d in 0..<size {
            let expected = (0..<length).reduce(0.0) { $0 + p[$1] * row(v, $1)[d] }
            #expect(abs(Double(out[h * size + d]) - expected) < 1e-5, "\(name), \(length)")
          }
        }
      }
    }
  }
}
