import Autograd
import Datasets
import Layers
import Platform
import Tensors

/// An encoder with a head (`ClassifierHead`) on the first token, on the mean, or on each token that counts.
///
/// `EncoderConfiguration` says what distinguishes the families: BERT's `…ForSequenceClassification` and
/// `…ForTokenClassification`, RoBERTa's and others.
///
/// A tensor-parallel shard has some heads and inner units of each layer and some rows of the embedding tables; norms,
/// pooler and classifier are replicated. Terms that are added once, such as biases of row-parallel products, are on
/// shard 0 and zero on the others.
package final class EncoderClassifier: Model {
  /// The sizes of the whole model.
  package let configuration: EncoderConfiguration
  /// The part of the model that this instance holds.
  package let part: ModelPart
  let embeddings: EncoderEmbeddings?
  /// The bias by distance that all layers share, or nil.
  let relativeBias: Parameter?
  /// The layers of this part.
  let layers: [EncoderLayer]
  /// The norm after the layers; nil if each layer ends with one, and before the last stage.
  let finalNorm: LayerNorm?
  /// Nil before the last stage, and for a model whose outputs are vectors.
  let head: ClassifierHead?
  /// The dense layer that the checkpoint of a bare encoder has, which no pass reads.
  let unread: Linear?

  /// Creates the weights as zeros, except norm scales of 1; `ModelLoader` or `initialize` fills them.
  package init(_ configuration: EncoderConfiguration, part: ModelPart = .whole) {
    self.configuration = configuration
    self.part = part
    let hidden = configuration.hiddenSize
    embeddings = part.hasEmbeddings ? EncoderEmbeddings(configuration, part) : nil
    var tables: [RotaryScaling: RotaryTable] = [:]
    for scaling in Set(configuration.body.layers.compactMap(\.rotary)) {
      tables[scaling] = RotaryTable(frequencies: scaling.frequencies(headSize: hidden / configuration.headCount))
    }
    let heads = part.share(of: configuration.headCount).count
    let bias = configuration.body.biasBuckets.map {
      Parameter("layers.relativebias", .untouchedZeros([$0, heads]), decays: true)
    }
    relativeBias = bias
    layers = part.layers(of: configuration.layerCount).map {
      EncoderLayer(
        $0, configuration, part, configuration.body.attention($0).rotary.flatMap { tables[$0] },
        bias.map(RelativeBias.init))
    }
    func norm(_ name: String) -> LayerNorm {
      LayerNorm(
        name, size: hidden, epsilon: configuration.layerNormEpsilon, hasBias: configuration.body.hasNormBias)
    }
    finalNorm = part.hasHead && configuration.body.isStream ? norm("final.norm") : nil
    head = part.hasHead && configuration.pooling == nil ? configuration.newHead(norm: norm) : nil
    unread =
      part.isWhole && configuration.barePooler != nil ? Linear("unread", inputs: hidden, outputs: hidden) : nil
  }

  package var classCount: Int { configuration.classCount }

  package var bounds: Batch.Bounds {
    Batch.Bounds(
      vocabulary: configuration.vocabularySize, tokenTypes: configuration.textTypes,
      positions: configuration.maximumPositions, classes: configuration.classCount)
  }

  /// A bias that layers share is in the first one's place.
  package var parameters: [Parameter] {
    var seen: Set<ObjectIdentifier> = []
    return blocks.flatMap { $0 }.filter { $0 !== relativeBias || seen.insert(ObjectIdentifier($0)).inserted }
  }

  package var blocks: [[Parameter]] {
    [embeddings?.parameters ?? []] + layers.map(\.parameters)
      + [(finalNorm?.parameters ?? []) + (head?.parameters ?? [])]
  }

  /// The token embeddings only; a batch reads most positions and types anyway.
  package var lookups: [LookupTable] {
    embeddings.map { [LookupTable(parameter: $0.words, ids: \.tokens)] } ?? []
  }

  /// The outputs, [R, classes].
  package func forward(_ batch: Batch, _ context: ForwardContext) -> Variable {
    let x = advance(embed(batch, context), batch, context)
    return context.block(layers.count + 1, x) { x, context in
      let states = self.headStates(x, batch, context)
      return self.head?.outputs(states, batch, context) ?? states
    }
  }

  /// `initializer_range`, except for the projection of narrow token embeddings, which gets 1/√P: with
  /// `initializer_range` the projected token embeddings would have a twentieth of the position embeddings' size and no
  /// effect for epochs.
  private func deviation(of parameter: Parameter) -> Float {
    guard case .projectedWords(let size) = configuration.embedding, parameter === embeddings?.projection?.weight else {
      return configuration.initializerRange
    }
    return 1 / Float(size).squareRoot()
  }

  package func initialize(_ parameter: Parameter, seed: UInt64) {
    if part.shard > 0, parameter === embeddings?.types {
      parameter.value.fill(0)
    } else if parameter.decays {
      Initializer.normal(parameter.value, deviation: deviation(of: parameter), seed: seed, name: parameter.name)
    } else {
      parameter.value.fill(parameter.name.hasSuffix("norm.weight") ? 1 : 0)
    }
  }
}
