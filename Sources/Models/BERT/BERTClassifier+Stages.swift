import Autograd
import Datasets
import Layers
import Platform

extension BERTClassifier: StagedModel {
  /// The states behind the embeddings, [T, hidden].
  public func embed(_ batch: Batch, _ context: ForwardContext) -> Variable {
    guard let embeddings else { preconditionFailure("this part of the model has no embeddings") }
    let x = context.block(0) { Trace.detail("embeddings") { embeddings(batch, context) } }
    return context.dropout(x, probability: configuration.hiddenDropout, offsets: batch.offsets)
  }

  /// The states behind the layers of this part: [T, hidden], or [B, hidden] of the first tokens where the model's last
  /// layer is here.
  public func advance(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    advance(x, batch, context) { _, _ in }
  }

  /// As above, showing the states and the captured probabilities of each layer.
  func advance(
    _ x: Variable, _ batch: Batch, _ context: ForwardContext, show: @escaping (Variable, Variable?) -> Void
  ) -> Variable {
    var x = x
    let first = FirstTokens(of: batch)
    for (place, index) in part.layers(of: configuration.layerCount).enumerated() {
      // Only the first tokens of the last layer are read, unless somebody wants to see all of it.
      let isSeen = index < configuration.layerCount - 1 || context.capture.contains(.hiddenStates)
      var probabilities: Variable?
      x = context.block(place + 1, x) { x, context in
        Trace.detail("layers", index) {
          let output = self.layers[place](x, offsets: batch.offsets, only: isSeen ? nil : first, context)
          probabilities = output.probabilities
          return output.hidden
        }
      }
      show(x, probabilities)
    }
    return x
  }

  /// The pooled states of the first tokens, [B, hidden]: what the classifier reads.
  public func headStates(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    guard let pooler else { preconditionFailure("this part of the model has no pooler") }
    // Without a layer nobody has chosen the first tokens.
    let first = layers.isEmpty ? context.tape.selectRows(x, FirstTokens(of: batch).rows) : x
    return context.tape.activation(.tanh, pooler(first, context))
  }

  /// The classifier on pooled states, [B, classes], float32.
  public func headLogits(_ states: Variable, _ context: ForwardContext) -> Variable {
    guard let classifier else { preconditionFailure("this part of the model has no classifier") }
    return classifier.wide(states, context)
  }

  public var headWeights: (matrix: Parameter, bias: Parameter?) {
    guard let classifier else { preconditionFailure("this part of the model has no classifier") }
    return (classifier.weight, classifier.bias)
  }

  /// All: the classifier is whole in each slice.
  public var headRows: Range<Int> { 0..<classCount }
  /// Unless they are narrower than a rounded layer reads.
  public var roundsStates: Bool { configuration.hiddenSize >= 16 }
  public var hiddenSize: Int { configuration.hiddenSize }
  public var layerCount: Int { configuration.layerCount }

  /// The logits, [B, classes].
  public func finish(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    headLogits(headStates(x, batch, context), context)
  }
}
