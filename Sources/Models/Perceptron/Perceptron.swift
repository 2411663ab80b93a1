import Autograd
import Datasets
import Layers
import Tensors

/// A multilayer perceptron on standardised numeric columns: x ↦ (x − mean)·scale, then linear layers with activations.
///
/// Mean and scale are stored with the weights, so the model contains the units of its data.
package final class Perceptron: Model {
  /// The sizes of the weights.
  package let configuration: PerceptronConfiguration
  let layers: [Linear]
  let mean: Tensor
  let scale: Tensor

  /// Creates the weights with zeros, mean 0 and scale 1; `ModelLoader` or `initialize` fills the weights.
  package init(_ configuration: PerceptronConfiguration) {
    self.configuration = configuration
    let sizes = [configuration.inputSize] + configuration.hiddenSizes + [configuration.classCount]
    layers = zip(sizes, sizes.dropFirst()).enumerated().map { index, size in
      Linear("layers.\(index)", inputs: size.0, outputs: size.1)
    }
    mean = .zeros([configuration.inputSize])
    scale = Tensor(repeating: 1, [configuration.inputSize])
  }

  package var classCount: Int { configuration.classCount }
  package var parameters: [Parameter] { layers.flatMap(\.parameters) }
  /// A single block, since the model is small.
  package var blocks: [[Parameter]] { [parameters] }

  /// Sets the standardisation of the columns; a constant column gets scale 1.
  ///
  /// - Parameters:
  ///   - means: one per column.
  ///   - deviations: standard deviations, one per column.
  package func standardize(means: [Double], deviations: [Double]) {
    precondition(means.count == mean.count && deviations.count == scale.count, "\(means.count) means for \(mean.shape)")
    for column in 0..<mean.count {
      mean.floats[column] = Float(means[column])
      scale.floats[column] = deviations[column] > 0 ? Float(1 / deviations[column]) : 1
    }
  }

  package func forward(_ batch: Batch, _ context: ForwardContext) -> Variable {
    let columns = configuration.inputSize
    precondition(batch.featureCount == columns, "\(batch.featureCount) columns for a perceptron of \(columns)")
    let input = Tensor(uninitialized: [batch.count, columns])
    let (x, mean, scale) = (input.floats, mean.floats, scale.floats)
    batch.features.withUnsafeBufferPointer { features in
      for row in 0..<batch.count {
        for column in 0..<columns {
          x[row * columns + column] = (features[row * columns + column] - mean[column]) * scale[column]
        }
      }
    }
    let offsets = (0...Int32(batch.count)).map { $0 }
    var hidden = Variable(constant: input)
    for layer in layers.dropLast() {
      hidden = context.tape.activation(configuration.activation, layer(hidden, context))
      hidden = context.dropout(hidden, probability: configuration.dropout, offsets: offsets)
    }
    return layers[layers.count - 1].wide(hidden, context)
  }

  /// B · Σ over layers of 2·inputs·outputs, for B rows of any length.
  package func forwardFLOPs(lengths: [Int]) -> Double {
    Double(lengths.count) * layers.reduce(0) { $0 + 2 * Double($1.weight.count) }
  }

  /// Uniform in ±1/√inputs for weights and biases, PyTorch's default for a linear layer.
  package func initialize(_ parameter: Parameter, seed: UInt64) {
    guard let layer = layers.first(where: { $0.weight === parameter || $0.bias === parameter }) else { return }
    let bound = 1 / Float(layer.weight.value.columns).squareRoot()
    Initializer.uniform(parameter.value, bound: bound, seed: seed, name: parameter.name)
  }

  /// The checkpoint names: `layers.N.weight`, `layers.N.bias`, and the two buffers of the standardisation.
  package var weightTable: [WeightBinding] {
    [WeightBinding("feature_mean", buffer: mean), WeightBinding("feature_scale", buffer: scale)]
      + parameters.map { WeightBinding($0.name, $0) }
  }
}
