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
    for (place, index) in part.layers(of: configuration.layerCount).enumerated() {
      let isWhole = index < configuration.layerCount - 1 || readsLastStates(context)
      x = context.block(place + 1, x) { x, context in
        Trace.detail("layers", index) {
          self.layers[place](x, offsets: batch.offsets, only: isWhole ? nil : first, context)
        }
      }
    }
    return x
  }

  /// Whether an observer reads the last layer's states of all tokens rather than of first tokens only.
  private func readsLastStates(_ context: ForwardContext) -> Bool {
    context.reading(of: .states(configuration.layerCount)) == .allTokens
  }

  /// The values of the head's first layer for the first tokens, [B, hidden], which the classifier reads.
  package func headStates(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    guard let dense else { preconditionFailure("this part of the model has no head") }
    let isWhole = layers.isEmpty || readsLastStates(context)
    let tokens = FirstTokens(of: batch)
    var first = isWhole ? context.tape.selectRows(x, tokens.rows) : x
    if configuration.head.dropsState {
      first = context.dropout(first, probability: configuration.classifierDropout, offsets: tokens.offsets)
    }
    let values = context.tape.activation(configuration.head.activation, dense(first, context))
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
  /// True unless the states are narrower than the 16 columns that a rounded layer needs.
  package var roundsStates: Bool { configuration.hiddenSize >= 16 }
  package var hiddenSize: Int { configuration.hiddenSize }
  package var layerCount: Int { configuration.layerCount }
  package var shape: ModelShape {
    let heads = configuration.headCount
    return ModelShape(
      layers: layerCount, hidden: hiddenSize, heads: heads, keyValueHeads: heads, headSize: hiddenSize / heads,
      isCausal: false, hasPooler: configuration.head.isPooler)
  }

  /// The logits, [B, classes].
  package func finish(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    headLogits(headStates(x, batch, context), context)
  }
}
