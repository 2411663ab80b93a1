import CKernels
import Foundation
import Testing

/// An activation and its definition in double.
struct Activation: Sendable {
  let kind: rtk_activation
  let name: String
  let function: @Sendable (Double) -> Double

  static let all = [
    Activation(kind: RTK_GELU, name: "gelu") { 0.5 * $0 * erfc(-$0 / 2.0.squareRoot()) },
    Activation(kind: RTK_GELU_TANH, name: "gelu_tanh") { x in
      let u = (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)
      return x / (1 + exp(-2 * u))  // x/2 (1 + tanh u)
    },
    Activation(kind: RTK_RELU, name: "relu") { max($0, 0) },
    Activation(kind: RTK_TANH, name: "tanh") { tanh($0) },
    Activation(kind: RTK_SILU, name: "silu") { $0 / (1 + exp(-$0)) },
    Activation(kind: RTK_SIGMOID, name: "sigmoid") { 1 / (1 + exp(-$0)) },
  ]
}

extension KernelTests {
  /// Dense around 0, where small x must keep its digits, and out to the tails.
  private var points: [Float] {
    let grid = (-1600...1600).map { Float($0) / 160 + 1e-4 }
    let small = (1...30).flatMap { [Float.pi * pow(0.1, Float($0)), -Float.pi * pow(0.1, Float($0))] }
    return grid + small
  }

  @Test func `activations are accurate to seven digits`() {
    onEverySet { name in
      let x = points
      for activation in Activation.all {
        var y = [Float](repeating: .nan, count: x.count)
        rtk_activation_forward(activation.kind, &y, x, x.count)
        let expected = doubles(x).map(activation.function)
        let tail = activation.kind == RTK_GELU || activation.kind == RTK_GELU_TANH
        // In the far tails of gelu the exponent, up to 70 in size, is rounded to 1e-5.
        expectClose(y, expected, absolute: 1e-37, relative: tail ? 1.5e-5 : 5e-7, "\(activation.name), \(name)")
        expectClose(y, expected, absolute: 3e-7, relative: 3e-7, "\(activation.name), \(name)")
      }
    }
  }

  @Test func `activation gradients are the slopes of the definitions`() {
    onEverySet { name in
      let x = points.filter { abs($0) > 1e-4 }
      var numbers = Numbers(5)
      let dy = numbers.floats(x.count)
      for activation in Activation.all {
        let dx = inPlace(dy) { rtk_activation_backward(activation.kind, $0, $0, x, x.count) }
        let expected = x.indices.map { i in
          let at = Double(x[i])
          return Double(dy[i]) * (activation.function(at + 1e-5) - activation.function(at - 1e-5)) / 2e-5
        }
        expectClose(dx, expected, absolute: 1e-6, relative: 1e-6, "\(activation.name), \(name)")
      }
    }
  }

  @Test func `activations of short arrays write nothing past the end`() {
    onEverySet { name in
      for n in Self.sizes {
        var numbers = Numbers(6)
        let x = numbers.floats(n + 1, scale: 4)
        for activation in Activation.all {
          var y = [Float](repeating: -99, count: n + 1)
          rtk_activation_forward(activation.kind, &y, x, n)
          expectClose(Array(y[..<n]), doubles(Array(x[..<n])).map(activation.function), "\(activation.name), \(name)")
          #expect(y[n] == -99)
        }
      }
    }
  }

  @Test func `large arguments saturate and NaN stays NaN`() {
    onEverySet { name in
      let x: [Float] = [-1e30, -200, -100, 100, 200, 1e30, .nan]
      let limits: [(rtk_activation, [Float])] = [
        (RTK_GELU, [0, 0, 0, 100, 200, 1e30]), (RTK_RELU, [0, 0, 0, 100, 200, 1e30]),
        (RTK_TANH, [-1, -1, -1, 1, 1, 1]),
        (RTK_SIGMOID, [0, 0, 0, 1, 1, 1]),
      ]
      for (kind, expected) in limits {
        var y = [Float](repeating: -99, count: x.count)
        rtk_activation_forward(kind, &y, x, x.count)
        expectClose(Array(y[..<6]), doubles(expected), absolute: 1e-30, relative: 1e-7, "\(kind.rawValue), \(name)")
        #expect(y[6].isNaN)
      }
    }
  }
}
