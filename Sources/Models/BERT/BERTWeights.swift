import Autograd
import Layers

extension BERTClassifier {
  /// The checkpoint names of `BertForSequenceClassification`, and those under which older files have the same tensors.
  public var weightTable: [WeightBinding] {
    var table: [WeightBinding] = []
    let embeddings = "bert.embeddings"
    if let wordProjection {
      table.append(bind("\(embeddings).word_embeddings.embeddings.weight", words))
      table += bind("\(embeddings).word_embeddings.projections", wordProjection)
    } else {
      table.append(bind("\(embeddings).word_embeddings.weight", words))
    }
    table.append(bind("\(embeddings).position_embeddings.weight", positions))
    table.append(bind("\(embeddings).token_type_embeddings.weight", types))
    table += bind("\(embeddings).LayerNorm", embeddingNorm)
    for (index, layer) in layers.enumerated() {
      let name = "bert.encoder.layer.\(index)"
      let hidden = configuration.hiddenSize
      // The three projections lie one under the other in one matrix.
      for (part, kind) in ["query", "key", "value"].enumerated() {
        let rows = part * hidden..<(part + 1) * hidden
        table.append(bind("\(name).attention.self.\(kind).weight", layer.attention.projection.weight, rows))
        table.append(bind("\(name).attention.self.\(kind).bias", layer.attention.projection.bias, rows))
      }
      table += bind("\(name).attention.output.dense", layer.attention.output)
      table += bind("\(name).attention.output.LayerNorm", layer.attentionNorm)
      table += bind("\(name).intermediate.dense", layer.intermediate)
      table += bind("\(name).output.dense", layer.output)
      table += bind("\(name).output.LayerNorm", layer.outputNorm)
    }
    table += bind("bert.pooler.dense", pooler, isHead: true)
    table += bind("classifier", classifier, isHead: true)
    return table
  }

  private func bind(_ name: String, _ linear: Linear, isHead: Bool = false) -> [WeightBinding] {
    [bind("\(name).weight", linear.weight, isHead: isHead), bind("\(name).bias", linear.bias, isHead: isHead)]
  }

  private func bind(_ name: String, _ norm: LayerNorm) -> [WeightBinding] {
    // Checkpoints converted from the first TensorFlow release call the two gamma and beta.
    [bind("\(name).weight", norm.gamma, old: "\(name).gamma"), bind("\(name).bias", norm.beta, old: "\(name).beta")]
  }

  private func bind(
    _ name: String, _ parameter: Parameter, _ rows: Range<Int>? = nil, old: String? = nil, isHead: Bool = false
  ) -> WeightBinding {
    let names = [name] + (old.map { [$0] } ?? [])
    // A bare encoder is saved without the prefix.
    let bare = names.compactMap { $0.hasPrefix("bert.") ? String($0.dropFirst(5)) : nil }
    return WeightBinding(name, parameter, rows: rows, aliases: Array(names.dropFirst()) + bare, isHead: isHead)
  }
}
