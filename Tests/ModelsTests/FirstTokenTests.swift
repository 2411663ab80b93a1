import Autograd
import Datasets
import Layers
import Tensors
import TestSupport
import Testing

@testable import Models

/// A classifier computes the last layer for the first tokens alone, unless all of it is to be seen.
@Suite struct FirstTokenTests {
  @Test(arguments: Precision.allCases) func `the logits are those of the whole layer, to the last bit`(
    precision: Precision
  ) throws {
    let data = try TinyTask.data(9)
    let batch = data.batch(Array(0..<9))
    for layers in [1, 2] {
      let model = try TinyTask.model(hidden: 32, layers: layers)
      func logits(_ points: [PassPoint]) -> [Float] {
        let observer = RecordingObserver(all: points)
        let context = ForwardContext.inference(precision: precision, observer: observer, independentRows: true)
        let output = model.forward(batch, context)
        #expect(observer.values.count == points.count)
        #expect(observer.values.values.allSatisfy { $0.shape == [Int(batch.offsets.last!), 32] })
        return output.value.array
      }
      #expect(logits([]) == logits((0...layers).map(PassPoint.states)), "\(layers) layers")
    }
  }

  /// The gradients of all weights for a weighted sum of the logits.
  func gradients(_ precision: Precision, observer: (any PassObserver)? = nil, dropout: Bool) throws -> [(
    String, Tensor
  )] {
    let data = try TinyTask.data(12)
    let batch = data.batch(Array(0..<12))
    let model = try TinyTask.model(hidden: 32, layers: 2)
    for parameter in model.parameters { parameter.gradient = .zeros(parameter.shape) }
    let tape = Tape(recording: true, precision: precision)
    let source = DropoutSource(seed: 1, step: 1, samples: Array(0..<12), override: dropout ? 0.2 : 0)
    let logits = model.forward(batch, ForwardContext(tape: tape, dropout: source, observer: observer))
    #expect(logits.value.dtype == .float32)
    tape.backward(from: tape.weightedElements(logits, randomTensor(logits.shape, seed: 99)))
    return model.parameters.map { ($0.name, $0.gradient!) }
  }

  /// √Σ‖a − b‖² / √Σ‖b‖² over all weights.
  func distance(_ a: [(String, Tensor)], _ b: [(String, Tensor)]) -> Double {
    let squares = zip(a, b).reduce(0.0) { sum, pair in
      sum + zip(pair.0.1.array, pair.1.1.array).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
    }
    return (squares / b.reduce(0) { $0 + $1.1.sumOfSquares }).squareRoot()
  }

  @Test(arguments: [false, true]) func `the gradients are those of the whole layer, dropout included`(
    dropout: Bool
  ) throws {
    let (short, whole) = (
      try gradients(.fp32, dropout: dropout),
      try gradients(.fp32, observer: RecordingObserver(all: [.states(2)]), dropout: dropout)
    )
    #expect(distance(short, whole) < 1e-6)
  }

  @Test(arguments: [false, true]) func `gradients in bf16 are those of float32 to a hundredth`(dropout: Bool) throws {
    let distance = distance(try gradients(.bf16, dropout: dropout), try gradients(.fp32, dropout: dropout))
    #expect(distance > 1e-4 && distance < 1.5e-2, "\(distance)")
  }
}
