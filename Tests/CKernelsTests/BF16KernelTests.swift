import CKernels
import Testing

/// The kernels with bf16 in memory, against those of float32 on the same numbers.
extension KernelTests {
  private func rounded(_ x: [Float]) -> [UInt16] {
    var out = [UInt16](repeating: 0, count: x.count)
    rtk_f32_to_bf16(&out, x, x.count)
    return out
  }

  private func widened(_ x: [UInt16]) -> [Float] { x.map { Float(bitPattern: UInt32($0) << 16) } }

  /// Numbers that bf16 has, in both formats.
  private func pair(_ numbers: inout Numbers, _ count: Int, scale: Float = 2) -> (words: [UInt16], floats: [Float]) {
    let words = rounded(numbers.floats(count, scale: scale))
    return (words, widened(words))
  }

  @Test func `sums of bf16 are those of float32, rounded once where they are kept in bf16`() {
    onEverySet { name in
      for n in Self.sizes {
        var numbers = Numbers(40)
        let (a, b) = (pair(&numbers, n), pair(&numbers, n))
        var out = [UInt16](repeating: 7, count: n + 1)
        rtk_bf16_add(&out, a.words, b.words, n)
        #expect(Array(out[..<n]) == rounded(zip(a.floats, b.floats).map { $0 + $1 }), "\(name), \(n)")
        #expect(out[n] == 7, "written past the end by \(name)")
        for rows in [1, 7, 8, 21] {
          let x = pair(&numbers, rows * n)
          var (sums, expected) = (a.floats, a.floats)
          rtk_bf16_column_sums(&sums, x.words, rows, n)
          rtk_column_sums(&expected, x.floats, rows, n)
          #expect(sums == expected, "\(name), \(rows)×\(n)")
        }
      }
    }
  }

  @Test func `bf16 keeps NaN, infinity and the sign of zero through a sum`() {
    onEverySet { name in
      var out: [UInt16] = [0, 0, 0, 0, 0]
      rtk_bf16_add(&out, [0x7fc1, 0x7f80, 0x8000, 0x7f7f, 0x3f80], [0x3f80, 0x3f80, 0x8000, 0x7f7f, 0x3b80], 5)
      #expect(widened(out)[0].isNaN && out[1] == 0x7f80 && out[2] == 0x8000 && out[3] == 0x7f80, "\(name)")
      // 1 + 2⁻⁸ is halfway between two bf16 numbers and rounds to the even one.
      #expect(out[4] == 0x3f80, "\(name)")
    }
  }

  @Test func `activations and their gradients in bf16 are those of float32, rounded once`() {
    let kinds = [RTK_GELU, RTK_GELU_TANH, RTK_RELU, RTK_TANH, RTK_SILU, RTK_SIGMOID]
    onEverySet { name in
      for (kind, n) in kinds.flatMap({ kind in Self.sizes.map { (kind, $0) } }) {
        var numbers = Numbers(41)
        let (x, dy) = (pair(&numbers, n, scale: 6), pair(&numbers, n))
        var (y, dx) = ([UInt16](repeating: 7, count: n + 1), [UInt16](repeating: 7, count: n + 1))
        var (exact, slope) = (x.floats, x.floats)
        rtk_bf16_activation_forward(kind, &y, x.words, n)
        rtk_activation_forward(kind, &exact, x.floats, n)
        rtk_bf16_activation_backward(kind, &dx, dy.words, x.words, n)
        rtk_activation_backward(kind, &slope, dy.floats, x.floats, n)
        #expect(Array(y[..<n]) == rounded(exact) && Array(dx[..<n]) == rounded(slope), "\(name), \(kind), \(n)")
        #expect(y[n] == 7 && dx[n] == 7, "written past the end by \(name)")
      }
    }
  }

  @Test func `rows of bf16 are looked up, and added back one after the other`() {
    onEverySet { name in
      for columns in Self.sizes {
        var numbers = Numbers(42)
        let (table, x) = (pair(&numbers, 3 * columns), pair(&numbers, 4 * columns))
        let ids: [Int32] = [2, 0, 2, 1]
        var out = [UInt16](repeating: 0, count: 4 * columns)
        rtk_bf16_gather_rows(&out, table.words, ids, 4, columns)
        #expect(out == ids.flatMap { table.words[Int($0) * columns..<(Int($0) + 1) * columns] }, "\(name)")
        var sums = table.words
        rtk_bf16_scatter_add_rows(&sums, x.words, ids, 4, columns)
        var expected = table.floats
        for (r, id) in ids.enumerated() {
          for c in 0..<columns { expected[Int(id) * columns + c] += x.floats[r * columns + c] }
          expected = widened(rounded(expected))
        }
        #expect(widened(sums) == expected, "\(name), \(columns)")
      }
    }
  }

  private static let offsets: [Int32] = [0, 1, 4, 4, 11]
  private static let keys: [UInt32] = [1, 2, 3, 4, 5, 6, 7, 8]

  private func withMask<Result>(_ p: Float?, _ body: (UnsafePointer<rtk_dropout_mask>?) -> Result) -> Result {
    guard let p else { return body(nil) }
    return Self.offsets.withUnsafeBufferPointer { offsets in
      Self.keys.withUnsafeBufferPointer { keys in
        var mask = rtk_dropout_mask(offsets: offsets.baseAddress, keys: keys.baseAddress, B: 4, p: p, first: 0)
        return body(&mask)
      }
    }
  }

  /// dropout(x) with the kernel of float32.
  private func dropped(_ x: [Float], columns: Int, _ p: Float?) -> [Float] {
    guard let p else { return x }
    var out = x
    rtk_dropout(&out, x, Self.offsets, Self.keys, 4, columns, p)
    return out
  }

  @Test func `dropout of bf16 is that of float32, rounded`() {
    onEverySet { name in
      for (columns, p) in [(1, Float(0.3)), (17, 0.3), (64, 0.3), (64, 0)] {
        var numbers = Numbers(43)
        let x = pair(&numbers, 11 * columns)
        var out = x.words
        rtk_bf16_dropout(&out, x.words, Self.offsets, Self.keys, 4, columns, p)
        #expect(out == rounded(dropped(x.floats, columns: columns, p)), "\(name), \(columns)")
      }
    }
  }

  @Test func `the norm of dropout and sum in bf16 is that of float32 within one rounding, recomputed to the bit`() {
    onEverySet { name in
      for (columns, p, hasResidual, keeps) in [
        (3, nil, false, false), (17, Float(0.3), true, true), (64, 0.3, true, false), (100, nil, true, true),
        (2500, 0.1, true, true), (17000, nil, true, true),
      ] as [(Int, Float?, Bool, Bool)] {
        var numbers = Numbers(44)
        let (rows, n) = (11, 11 * columns)
        let (x, residual) = (pair(&numbers, n), pair(&numbers, n))
        let (gamma, beta) = (numbers.floats(columns), numbers.floats(columns))
        var (y, sum, again) = (x.words, [UInt16](repeating: 0, count: n), x.words)
        var mean = [Float](repeating: 0, count: rows)
        var rstd = mean
        withMask(p) { mask in
          residual.words.withUnsafeBufferPointer { residual in
            sum.withUnsafeMutableBufferPointer { sum in
              rtk_bf16_layer_norm_forward(
                &y, keeps ? sum.baseAddress : nil, &mean, &rstd, x.words, mask,
                hasResidual ? residual.baseAddress : nil, gamma, beta, rows, columns, 1e-5)
            }
          }
        }
        var s = dropped(x.floats, columns: columns, p)
        if hasResidual { s = zip(s, residual.floats).map { $0 + $1 } }
        if keeps {
          expectClose(widened(sum), doubles(s), absolute: 1e-30, relative: 0x1p-8, "\(name), sum")
          s = widened(sum)
          rtk_bf16_layer_norm_recompute(&again, sum, mean, rstd, gamma, beta, rows, columns)
          #expect(again == y, "\(name), \(columns)")
        }
        let expected = Reference.layerNorm(doubles(s), doubles(gamma), doubles(beta), columns: columns, eps: 1e-5)
        // Half a unit in the last place of bf16, plus the error of float32.
        expectClose(widened(y), expected.y, absolute: 1e-4, relative: 0x1p-8, "\(name), \(columns)")
        expectClose(rstd, expected.rstd, absolute: 0, relative: 1e-4, "\(name), \(columns)")
      }
    }
  }

  @Test func `a norm with dropout in two parts of the rows is that of all of them`() {
    onEverySet { name in
      var numbers = Numbers(46)
      let (rows, columns) = (11, 40)
      let x = pair(&numbers, rows * columns)
      let (gamma, beta) = (numbers.floats(columns), numbers.floats(columns))
      var (whole, parts) = (x.words, x.words)
      var mean = [Float](repeating: 0, count: rows)
      var rstd = mean
      withMask(0.4) { mask in
        rtk_bf16_layer_norm_forward(
          &whole, nil, &mean, &rstd, x.words, mask, nil, gamma, beta, rows, columns, 1e-5)
        for part in [0..<7, 7..<11] {
          guard var mask = mask?.pointee else { continue }
          mask.first = part.lowerBound
          let at = part.lowerBound * columns
          parts.withUnsafeMutableBufferPointer { y in
            x.words.withUnsafeBufferPointer { x in
              rtk_bf16_layer_norm_forward(
                y.baseAddress! + at, nil, &mean, &rstd, x.baseAddress! + at, &mask, nil, gamma, beta, part.count,
                columns, 1e-5)
            }
          }
        }
      }
      #expect(parts == whole, "\(name)")
    }
  }

  @Test func `gradients of the norm in bf16 are those of float32, rounded once`() {
    onEverySet { name in
      for (columns, p) in [(3, nil), (17, Float(0.3)), (64, 0.3), (2500, nil)] as [(Int, Float?)] {
        var numbers = Numbers(45)
        let (rows, n) = (11, 11 * columns)
        let (dy, sum) = (pair(&numbers, n), pair(&numbers, n))
        let (gamma, beta) = (numbers.floats(columns), numbers.floats(columns))
        var (y, exact) = (sum.floats, sum.floats)
        var mean = [Float](repeating: 0, count: rows)
        var rstd = mean
        rtk_layer_norm_forward(&y, &mean, &rstd, sum.floats, gamma, beta, rows, columns, 1e-5)
        var (dgamma, dbeta, exactGamma, exactBeta) = (gamma, beta, gamma, beta)
        rtk_layer_norm_backward(
          &exact, &exactGamma, &exactBeta, dy.floats, sum.floats, mean, rstd, gamma, rows, columns)
        var (ds, dx) = (dy.words, dy.words)
        withMask(p) { mask in
          dx.withUnsafeMutableBufferPointer { dx in
            rtk_bf16_layer_norm_backward(
              &ds, mask == nil ? nil : dx.baseAddress, &dgamma, &dbeta, dy.words, sum.words, mean, rstd, gamma, mask,
              rows, columns)
          }
        }
        #expect(ds == rounded(exact) && dgamma == exactGamma && dbeta == exactBeta, "\(name), \(columns)")
        if p != nil { #expect(dx == rounded(dropped(exact, columns: columns, p)), "\(name), \(columns)") }
      }
    }
  }
}
