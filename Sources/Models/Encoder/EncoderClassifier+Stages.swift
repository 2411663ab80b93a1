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
  /// model's last layer and no observer reads all tokens.
  package func advance(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    var x = x
    let first = FirstTokens(of: batch)
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
    configuration.head.pooling == .mean || context.reading(of: .states(configuration.layerCount)) == .allTokens
  }

  /// The states that the head's first layer reads, [B, hidden], from those after the layers.
  private func pooled(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    var x = x
    if let finalNorm {
      x = finalNorm.stream(x, wide: true, context).output
      context.observe(.states(layerCount), x)
    }
    if configuration.head.pooling == .mean {
      return context.tape.meanOfRows(context.tape.converted(x, to: .float32), offsets: batch.offsets)
    }
    let isWhole = layers.isEmpty || needsLastStates(context)
    return isWhole ? context.tape.selectRows(x, FirstTokens(of: batch).rows) : x
  }

  /// The values of the head's first layer, [B, hidden], which the classifier reads.
  package func headStates(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    guard let dense else { preconditionFailure("this part of the model has no head") }
    var first = pooled(x, batch, context)
    if configuration.head.dropsState {
      let tokens = FirstTokens(of: batch)
      first = context.dropout(first, probability: configuration.dropout.classifier, offsets: tokens.offsets)
    }
    var values = context.tape.activation(configuration.head.activation, dense(first, context))
    if let headNorm { values = headNorm(values, context) }
    if configuration.head.isPooler { context.observe(.pooled, values) }
    return values
  }

  /// The classifier's logits for pooled states, [B, classes], float32.
  package func headLogits(_ states: Variable, _ context: ForwardContext) -> Variable {
    guard let classifier else { preconditionFailure("this part of the model has no classifier") }
    return classifier.wide(states, context)
  }

  package var headWeights: (matrix: Parameter, bias: Parameter?) {
    guard let classifier else { preconditionFailure("this part of the model has no classifier") }
    return (classifier.weight, classifier.bias)
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

  /// The logits, [B, classes].
  package func finish(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    headLogits(headStates(x, batch, context), context)
  }
}
