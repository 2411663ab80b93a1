import CKernels
import Foundation
import Testing

private typealias RowLoss = (
  UnsafeMutablePointer<Double>?, UnsafeMutablePointer<Float>?, UnsafePointer<Float>?, UnsafePointer<Float>?, Int, Int
) -> Void

extension KernelTests {
  private func length(_ x: [Double], least: Double) -> Double { max(dot(x, x).squareRoot(), least) }

  private func squared(_ x: [Double], _ y: [Double]) -> Double {
    zip(x, y).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
  }

  private func cosine(_ x: [Double], _ y: [Double]) -> Double {
    1 - dot(x, y) / (length(x, least: 1e-8) * length(y, least: 1e-8))
  }

  private func unitSquared(_ x: [Double], _ y: [Double]) -> Double {
    let (a, b) = (length(x, least: 1e-12), length(y, least: 1e-12))
    return squared(x.map { $0 / a }, y.map { $0 / b })
  }

  private var rowLosses: [(name: String, kernel: RowLoss, definition: ([Double], [Double]) -> Double)] {
    [
      ("squared", rtk_rows_squared, squared), ("cosine", rtk_rows_cosine, cosine),
      ("unit squared", rtk_rows_unit_squared, unitSquared),
    ]
  }

  @Test func `distances of rows and their gradients match the definition`() {
    onEverySet { name in
      for columns in [1, 3, 16, 17, 100, 312, 5000] {
        var numbers = Numbers(60)
        let (x, y) = (numbers.floats(3 * columns), numbers.floats(3 * columns))
        for loss in rowLosses {
          var value = [Double](repeating: .nan, count: 3)
          var gradient = [Float](repeating: .nan, count: x.count)
          loss.kernel(&value, &gradient, x, y, 3, columns)
          for r in 0..<3 {
            let range = r * columns..<(r + 1) * columns
            let (a, b) = (doubles(Array(x[range])), doubles(Array(y[range])))
            let expected = loss.definition(a, b)
            let message = "\(name), \(loss.name), \(columns) columns"
            #expect(abs(value[r] - expected) <= 1e-6 * expected + 1e-12, "\(message): \(value[r]), \(expected)")
            guard columns <= 100 else { continue }
            let measured = finiteDifferences(a) { loss.definition($0, b) }
            expectClose(Array(gradient[range]), measured, absolute: 1e-6, relative: 2e-6, message)
          }
          var alone = [Double](repeating: .nan, count: 3)
          loss.kernel(&alone, nil, x, y, 3, columns)
          #expect(alone == value, "\(name), \(loss.name)")
        }
      }
    }
  }

  @Test func `distances of close rows keep their digits`() {
    onEverySet { name in
      var numbers = Numbers(61)
      let y = numbers.floats(256)
      let x = zip(y, numbers.floats(256, scale: 1e-3)).map { $0 + $1 }
      for loss in rowLosses {
        var (value, gradient) = ([Double.nan], x)
        loss.kernel(&value, &gradient, x, y, 1, 256)
        let expected = loss.definition(doubles(x), doubles(y))
        #expect(abs(value[0] - expected) < 1e-4 * expected, "\(name), \(loss.name): \(value[0]), \(expected)")
        let measured = finiteDifferences(doubles(x)) { loss.definition($0, doubles(y)) }
        expectClose(gradient, measured, absolute: 1e-7, relative: 1e-4, "\(name), \(loss.name)")
        loss.kernel(&value, &gradient, y, y, 1, 256)
        #expect(abs(value[0]) < 1e-14, "\(name), \(loss.name)")
        expectClose(gradient, [Double](repeating: 0, count: 256), absolute: 1e-8, "\(name), \(loss.name)")
      }
    }
  }

  @Test func `rows of no length have a distance`() {
    onEverySet { name in
      let (zero, one): ([Float], [Float]) = ([0, 0, 0], [2, 0, 0])
      var (value, gradient) = ([Double.nan], zero)
      rtk_rows_cosine(&value, &gradient, zero, one, 1, 3)
      #expect(value == [1], "\(name)")
      expectClose(gradient, [-1e8, 0, 0], "\(name)")
      rtk_rows_cosine(&value, &gradient, one, zero, 1, 3)
      #expect(value == [1] && gradient == [0, 0, 0], "\(name)")
      rtk_rows_cosine(&value, &gradient, zero, zero, 1, 3)
      #expect(value == [1] && gradient == [0, 0, 0], "\(name)")
      rtk_rows_unit_squared(&value, &gradient, zero, one, 1, 3)
      #expect(value == [1], "\(name)")
      expectClose(gradient, [-2e12, 0, 0], "\(name)")
      rtk_rows_unit_squared(&value, &gradient, one, zero, 1, 3)
      #expect(value == [1], "\(name)")
      expectClose(gradient, [0, 0, 0], absolute: 1e-7, "\(name)")
    }
  }
}
