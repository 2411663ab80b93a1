import Autograd
import Datasets
import Foundation
import Models
import Tensors

/// The comparison of a row's outputs s with its targets y.
package enum TargetLoss: Sendable, Equatable {
  /// −Σ y log softmax(s), y smoothed by ε.
  case crossEntropy(smoothing: Double)
  /// Mean of (s − y)².
  case squared
  /// Mean of |s − y|.
  case absolute
  /// Mean of −y log σ(s) − (1 − y) log(1 − σ(s)).
  case binaryCrossEntropy

  /// What outputs must mean.
  var output: TaskDefinition.Output {
    switch self {
    case .crossEntropy: .classes
    case .squared, .absolute: .score
    case .binaryCrossEntropy: .labels
    }
  }

  /// The value of one element, and its derivative by s; not for the cross-entropy, which reads whole rows.
  func element(_ s: Float, _ y: Float) -> (value: Double, slope: Float) {
    switch self {
    case .crossEntropy: preconditionFailure("a cross-entropy is no sum over elements")
    case .squared: (Double(s - y) * Double(s - y), 2 * (s - y))
    case .absolute: (Double(abs(s - y)), s > y ? 1 : s < y ? -1 : 0)
    case .binaryCrossEntropy: (Logistic.softplus(s) - Double(y * s), Logistic.sigmoid(s) - y)
    }
  }

  /// Σ over rows with targets of the mean over a row's elements; if `factor` is not 0, adds factor · its gradient.
  ///
  /// - Parameters:
  ///   - outputs: [R, K].
  ///   - values: [R, K]; a row with NaN has no targets.
  ///   - gradient: [R, K].
  package func sum(_ outputs: Tensor, _ values: [Float], factor: Double, into gradient: Tensor?) -> Double {
    let (rows, columns) = (outputs.rows, outputs.columns)
    precondition(values.count == rows * columns, "\(values.count) targets for outputs \(outputs.shape)")
    var total = 0.0
    for row in 0..<rows where !values[row * columns].isNaN {
      var sum = 0.0
      for place in row * columns..<(row + 1) * columns {
        let (value, slope) = element(outputs.floats[place], values[place])
        sum += value
        if let gradient, factor != 0 { gradient.floats[place] += Float(factor) * slope / Float(columns) }
      }
      total += sum / Double(columns)
    }
    return total
  }
}

/// The logistic function σ and its kin, without overflow.
enum Logistic {
  /// log(1 + e^x).
  static func softplus(_ x: Float) -> Double { max(Double(x), 0) + log1p(exp(-abs(Double(x)))) }

  /// 1 / (1 + e^−x).
  static func sigmoid(_ x: Float) -> Float { Float(1 / (1 + exp(-Double(x)))) }
}
