import CKernels
import Testing

extension KernelTests {
  @Test func `add, scale and fill match the definition at every size`() {
    onEverySet { name in
      for n in Self.sizes {
        var numbers = Numbers(1)
        let a = numbers.floats(n)
        let b = numbers.floats(n)
        var out = [Float](repeating: .nan, count: n + 1)
        rtk_add(&out, a, b, n)
        #expect(Array(out[..<n]) == zip(a, b).map { $0 + $1 })
        #expect(out[n].isNaN, "written past the end by \(name)")

        var y = a
        rtk_scale(&y, -2.5, n)
        #expect(y == a.map { $0 * -2.5 })
        rtk_fill(&y, 7, n)
        #expect(y == [Float](repeating: 7, count: n))
      }
    }
  }

  @Test func `a sum of squares has the accuracy of double`() {
    onEverySet { name in
      for n in Self.sizes + [1 << 20] {
        var numbers = Numbers(2)
        let x = numbers.floats(n)
        let expected = x.reduce(0.0) { $0 + Double($1) * Double($1) }
        #expect(abs(rtk_sum_of_squares(x, n) - expected) <= 1e-12 * expected, "\(name), \(n)")
      }
      #expect(rtk_sum_of_squares([], 0) == 0)
    }
  }

  @Test func `parts are summed in order, to the last bit`() {
    onEverySet { name in
      for n in Self.sizes {
        for parts in [1, 2, 5] {
          var numbers = Numbers(3)
          let stride = n + 3
          let x = numbers.floats(parts * stride)
          var expected = Array(x[..<n])
          for p in 1..<max(parts, 2) where p < parts {
            for i in 0..<n { expected[i] += x[p * stride + i] }
          }
          var out = [Float](repeating: .nan, count: n)
          rtk_sum_parts(&out, x, parts, stride, n)
          #expect(out == expected, "\(name), \(parts) × \(n)")
        }
      }
    }
  }

  @Test func `a bias is added to each row and column sums are its gradient`() {
    onEverySet { name in
      for (rows, columns) in [(1, 1), (3, 17), (8, 64), (21, 100), (64, 3)] {
        var numbers = Numbers(4)
        let x = numbers.floats(rows * columns)
        let bias = numbers.floats(columns)
        var y = x
        rtk_add_bias(&y, bias, rows, columns)
        #expect(y == x.indices.map { x[$0] + bias[$0 % columns] })

        var sums = bias
        rtk_column_sums(&sums, x, rows, columns)
        var expected = doubles(bias)
        for i in x.indices { expected[i % columns] += Double(x[i]) }
        expectClose(sums, expected, absolute: 1e-5, name)
      }
    }
  }
}
