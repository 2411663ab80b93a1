import Autograd
import Datasets
import Layers
import Platform

extension EncoderClassifier: StagedModel {
  /// The output states of the embeddings, [T, hidden].
  package func embed(_ batch: Batch, _ context: ForwardContext) -> Variable {
    guard let embeddings else { preconditionFailure("this part of the model has no embeddings") }
    return context.block(0) {
      Trace.detail("embeddings") {
        let x = embeddings(batch, context)
        context.observe(.states(0), x)
        return x
      }
    }
  }

  /// The output states of this part's layers: [T, hidden], or [B, hidden] of the first tokens if this part has the
  /// model's last layer and neither head nor observers read more.
  package func advance(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    var x = x
    let first = HeadTokens(of: batch, .examples)
    let places = TokenPlaces(offsets: batch.offsets, positions: batch.positions)
    for (place, index) in part.layers(of: configuration.layerCount).enumerated() {
      let isWhole = index < configuration.layerCount - 1 || needsLastStates(context)
      x = context.block(place + 1, x) { x, context in
        Trace.detail("layers", index) {
          self.layers[place](x, at: places, only: isWhole ? nil : first, context)
        }
      }
    }
    return x
  }

  /// Whether the head or an observer reads the last states of all tokens rather than of first tokens only.
  private func needsLastStates(_ context: ForwardContext) -> Bool {
    !configuration.readsFirstTokens || context.reading(of: .states(configuration.layerCount)) == .allTokens
  }

  /// The states that the head's first layer reads, [R, hidden], from those after the layers.
  private func read(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    var x = x
    if let finalNorm {
      x = finalNorm.stream(x, wide: true, context).output
      context.observe(.states(layerCount), x)
    }
    if configuration.pooling != nil { return x }
    if configuration.poolsMean {
      return context.tape.meanOfRows(context.tape.converted(x, to: .float32), offsets: batch.offsets)
    }
    let isWhole = layers.isEmpty || needsLastStates(context)
    return isWhole ? context.tape.selectRows(x, HeadTokens(of: batch, configuration.rows).rows) : x
  }

  /// What the head's last layer reads, [R, hidden].
  package func headStates(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    let states = read(x, batch, context)
    return configuration.pooling?.vectors(states, batch, context) ?? ownHead.states(states, batch, context)
  }

  /// The outputs for these states, [R, classes], float32; vectors are outputs already.
  package func headLogits(_ states: Variable, _ context: ForwardContext) -> Variable {
    configuration.pooling != nil ? states : ownHead.classifier.wide(states, context)
  }

  package var headWeights: (matrix: Parameter, bias: Parameter?) {
    (ownHead.classifier.weight, ownHead.classifier.bias)
  }

  private var ownHead: ClassifierHead {
    guard let head else { preconditionFailure("this part of the model has no head") }
    return head
  }

  /// All rows: the classifier is replicated in each shard.
  package var headRows: Range<Int> { 0..<classCount }
  /// False for a float32 residual stream, and for states narrower than the 16 columns that a rounded layer needs.
  package var roundsStates: Bool { configuration.hiddenSize >= 16 && !configuration.body.isStream }
  package var hiddenSize: Int { configuration.hiddenSize }
  package var layerCount: Int { configuration.layerCount }
  package var shape: ModelShape { configuration.shape }

  /// A layer's block computes its states; those of the last layer of a stream are the final norm's, in the head.
  package func block(of point: PassPoint) -> Int {
    switch point {
    case .states(let layer): layer == layerCount && configuration.body.isStream ? blocks.count - 1 : layer
    case .projections(let layer): layer
    case .pooled: blocks.count - 1
    }
  }

  /// The outputs, [R, classes].
  package func finish(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    headLogits(headStates(x, batch, context), context)
  }
}
