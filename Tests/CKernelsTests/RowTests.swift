import CKernels
import Testing

extension KernelTests {
  private var shapes: [(rows: Int, columns: Int)] { [(1, 1), (3, 3), (5, 17), (2, 64), (9, 100), (4, 768), (3, 1027)] }

  @Test func `rows are gathered by id and scattered back, repeated ids adding up`() {
    onEverySet { name in
      for columns in [1, 5, 17, 64, 100] {
        var numbers = Numbers(8)
        let table = numbers.floats(7 * columns)
        let ids: [Int32] = [3, 0, 3, 6, 3]
        let x = numbers.floats(ids.count * columns)
        var out = x
        rtk_gather_rows(&out, table, ids, ids.count, columns)
        let gathered = out
        for r in ids.indices {
          let row = Int(ids[r]) * columns
          #expect(Array(out[r * columns..<(r + 1) * columns]) == Array(table[row..<row + columns]))
        }
        out = x
        rtk_gather_rows_add(&out, table, ids, ids.count, columns)
        #expect(out == zip(x, gathered).map { $0 + $1 }, "\(name)")

        var sums = table
        rtk_scatter_add_rows(&sums, x, ids, ids.count, columns)
        var expected = doubles(table)
        for i in x.indices { expected[Int(ids[i / columns]) * columns + i % columns] += Double(x[i]) }
        expectClose(sums, expected, name)
      }
    }
  }

  @Test func `layer norm has the mean, deviation and output of the definition, also far from zero`() {
    onEverySet { name in
      for (rows, columns) in shapes {
        for offset: Float in [0, 1000] {
          var numbers = Numbers(9)
          let x = numbers.floats(rows * columns).map { $0 + offset }
          let gamma = numbers.floats(columns)
          let beta = numbers.floats(columns)
          var y = [Float](repeating: .nan, count: x.count)
          var mean = [Float](repeating: .nan, count: rows)
          var rstd = mean
          rtk_layer_norm_forward(&y, &mean, &rstd, x, gamma, beta, rows, columns, 1e-5)
          let expected = Reference.layerNorm(doubles(x), doubles(gamma), doubles(beta), columns: columns, eps: 1e-5)
          let tolerance = offset == 0 ? 2e-6 : 1e-3  // a float near 1000 is accurate to 6e-5
          // A row of one element has variance 0 and rstd 316: its rounding error is multiplied by that.
          expectClose(y, expected.y, absolute: columns == 1 ? 1e-2 : tolerance, "\(name), \(rows)×\(columns)")
          expectClose(mean, expected.mean, name)
          expectClose(rstd, expected.rstd, absolute: 0, relative: columns == 1 ? 1e-3 : 1e-5 + tolerance, name)
        }
      }
    }
  }

  @Test func `layer norm gradients are the slopes of the definition, and those of the weights are added`() {
    onEverySet { name in
      for (rows, columns) in [(3, 2), (3, 3), (5, 17), (2, 64)] {
        var numbers = Numbers(10)
        let x = numbers.floats(rows * columns)
        let gamma = numbers.floats(columns)
        let beta = numbers.floats(columns)
        let dy = numbers.floats(x.count)
        func loss(_ x: [Double], _ gamma: [Double], _ beta: [Double]) -> Double {
          dot(Reference.layerNorm(x, gamma, beta, columns: columns, eps: 1e-3).y, doubles(dy))
        }
        var y = x
        var mean = [Float](repeating: 0, count: rows)
        var rstd = mean
        rtk_layer_norm_forward(&y, &mean, &rstd, x, gamma, beta, rows, columns, 1e-3)
        let before = numbers.floats(columns)
        var dgamma = before
        var dbeta = before
        let dx = inPlace(dy) {
          rtk_layer_norm_backward($0, &dgamma, &dbeta, $0, x, mean, rstd, gamma, rows, columns)
        }
        let (dX, dG, dB) = (doubles(x), doubles(gamma), doubles(beta))
        expectClose(dx, finiteDifferences(dX) { loss($0, dG, dB) }, absolute: 1e-5, relative: 1e-5, name)
        let slopes = finiteDifferences(dG) { loss(dX, $0, dB) }
        expectClose(dgamma, zip(slopes, before).map { $0 + Double($1) }, absolute: 1e-5, relative: 1e-5, name)
        let shifts = finiteDifferences(dB) { loss(dX, dG, $0) }
        expectClose(dbeta, zip(shifts, before).map { $0 + Double($1) }, absolute: 1e-5, relative: 1e-5, name)

        var again = dy
        rtk_layer_norm_backward(&again, nil, nil, dy, x, mean, rstd, gamma, rows, columns)
        #expect(again == dx, "without weight gradients the input's gradient is the same")
      }
    }
  }

  @Test func `the fused residual layer norm has the bits of the sum and then layer norm`() {
    onEverySet { name in
      for (rows, columns) in shapes {
        var numbers = Numbers(11)
        let x = numbers.floats(rows * columns)
        let residual = numbers.floats(x.count)
        let gamma = numbers.floats(columns)
        let beta = numbers.floats(columns)
        var (y, sum, plain) = (x, x, x)
        var mean = [Float](repeating: 0, count: rows)
        var rstd = mean
        rtk_add_layer_norm_forward(&y, &sum, &mean, &rstd, x, residual, gamma, beta, rows, columns, 1e-5)
        #expect(sum == zip(x, residual).map { $0 + $1 })
        rtk_layer_norm_forward(&plain, &mean, &rstd, sum, gamma, beta, rows, columns, 1e-5)
        #expect(y == plain, "\(name)")
      }
    }
  }
}

extension KernelTests {
  @Test func `products by rows agree with the definition, for any cut of the columns`() {
    onEverySet { name in
      for (rows, inputs, outputs) in [(1, 1, 1), (3, 5, 2), (7, 17, 70), (13, 600, 65), (9, 64, 200)] {
        var numbers = Numbers(21)
        let x = numbers.floats(rows * inputs)
        let weight = numbers.floats(inputs * outputs)
        var y = [Float](repeating: .nan, count: rows * outputs)
        rtk_linear_rows(&y, x, weight, rows, inputs, outputs, 0, outputs)
        var expected = [Double](repeating: 0, count: y.count)
        for r in 0..<rows {
          for n in 0..<outputs {
            for k in 0..<inputs {
              expected[r * outputs + n] += Double(x[r * inputs + k]) * Double(weight[n * inputs + k])
            }
          }
        }
        let tolerance = 4e-5 * Double(inputs).squareRoot()
        expectClose(y, expected, absolute: tolerance, "\(name), \(rows)×\(inputs)×\(outputs)")
        var parts = [Float](repeating: .nan, count: y.count)
        for from in stride(from: 0, to: outputs, by: 64) {
          rtk_linear_rows(&parts, x, weight, rows, inputs, outputs, from, min(outputs, from + 64))
        }
        #expect(parts == y, "\(name)")
      }
    }
  }

  @Test func `a row of a product by rows has the same bits alone and among any others`() {
    onEverySet { name in
      for (inputs, outputs) in [(3, 8), (16, 16), (32, 2), (50, 200), (200, 50), (768, 3), (64, 129)] {
        var numbers = Numbers(22)
        let rows = 40
        let x = numbers.floats(rows * inputs)
        let weight = numbers.floats(inputs * outputs)
        var y = [Float](repeating: .nan, count: rows * outputs)
        rtk_linear_rows(&y, x, weight, rows, inputs, outputs, 0, outputs)
        for count in [1, 2, 3, 5, 7, 8, 11, 13, 24] {
          for first in [0, 1, 6, 16] {
            var part = [Float](repeating: .nan, count: count * outputs)
            rtk_linear_rows(
              &part, Array(x[first * inputs..<(first + count) * inputs]), weight, count, inputs, outputs, 0, outputs)
            #expect(part == Array(y[first * outputs..<(first + count) * outputs]), "\(name), \(count) from \(first)")
          }
        }
      }
    }
  }
}
