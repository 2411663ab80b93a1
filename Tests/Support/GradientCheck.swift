import Autograd
import Tensors

/// A tensor of normal numbers, the same for the same seed.
package func randomTensor(_ shape: Shape, seed: UInt64, scale: Float = 1) -> Tensor {
  var stream = RandomStream(seed: seed, purpose: "test")
  var numbers = [Float](repeating: 0, count: shape.count)
  numbers.withUnsafeMutableBufferPointer { stream.normals(deviation: 1, into: $0) }
  return Tensor(numbers.map { scale * $0 }, shape)
}

/// A parameter of normal numbers that has a gradient buffer.
package func trainedParameter(_ name: String, _ shape: Shape, seed: UInt64, scale: Float = 1) -> Parameter {
  let parameter = Parameter(name, randomTensor(shape, seed: seed, scale: scale), decays: true)
  parameter.gradient = .zeros(shape)
  return parameter
}

/// Compares the tape's gradients with central finite differences.
///
/// The output is reduced to a scalar by fixed random weights w, L = Σ w·y, so that every output element matters. For
/// each input and parameter x, several elements are moved by ±h: (L(x+h) − L(x−h)) / 2h against dL/dx. L is summed in
/// double from the float outputs, so the difference carries an error of about ε·|y|/h; h = 1e-2 keeps it near 1e-5.
///
/// - Returns: the largest |numeric − analytic| / (1 + |numeric|).
package func worstGradientError(
  inputs: [Tensor], parameters: [Parameter] = [], step: Float = 1e-2,
  _ forward: (Tape, [Variable]) -> Variable
) -> Double {
  func loss(_ y: Tensor) -> Double {
    let weights = randomTensor(y.shape, seed: 99)
    return zip(y.array, weights.array).reduce(0) { $0 + Double($1.0) * Double($1.1) }
  }
  parameters.forEach { $0.gradient?.fill(0) }
  let tape = Tape(recording: true)
  let leaves = inputs.map(tape.leaf)
  let output = forward(tape, leaves)
  let scalar = tape.weightedElements(output, randomTensor(output.shape, seed: 99))
  let gradients = tape.backward(from: scalar, leaves: leaves) + parameters.map { $0.gradient! }
  var worst = 0.0
  for (tensor, gradient) in zip(inputs + parameters.map(\.value), gradients) {
    let stride = max(1, tensor.count / 23)
    for index in Swift.stride(from: 0, to: tensor.count, by: stride) {
      let kept = tensor.floats[index]
      func moved(_ by: Float) -> Double {
        tensor.floats[index] = kept + by
        defer { tensor.floats[index] = kept }
        let tape = Tape(recording: false)
        return loss(forward(tape, inputs.map(Variable.init(constant:))).value)
      }
      let numeric = (moved(step) - moved(-step)) / (2 * Double(step))
      worst = max(worst, abs(numeric - Double(gradient.floats[index])) / (1 + abs(numeric)))
    }
  }
  return worst
}

extension Tape {
  /// Σ weights·y as a scalar on the tape, for tests.
  package func weightedElements(_ y: Variable, _ weights: Tensor) -> Variable {
    let sum = zip(y.value.array, weights.array).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
    return record(Tensor([Float(sum)], []), from: [y], WeightedElements(y: y, weights: weights))
  }
}

private struct WeightedElements: Operation {
  let y: Variable
  let weights: Tensor

  func backward(_ gradient: Tensor, _ gradients: inout Gradients) {
    let scaled = weights.array.map { $0 * gradient.scalar }
    gradients.add(Tensor(scaled, weights.shape), to: y)
  }
}
