import Autograd
import Layers

extension BERTClassifier {
  /// The checkpoint names of `BertForSequenceClassification`, with the aliases that older files use for the same
  /// tensors.
  package var weightTable: [WeightBinding] {
    var table = embeddings.map { bind($0) } ?? []
    for (layer, index) in zip(layers, part.layers(of: configuration.layerCount)) {
      table += bind(layer, "bert.encoder.layer.\(index)")
    }
    if let pooler { table += bind("bert.pooler.dense", pooler, isHead: true) }
    if let classifier { table += bind("classifier", classifier, isHead: true) }
    return table
  }

  private func bind(_ tables: BERTEmbeddings) -> [WeightBinding] {
    let name = "bert.embeddings"
    let words = configuration.vocabularySize
    func rows(_ name: String, _ parameter: Parameter, _ rows: Range<Int>, of count: Int) -> WeightBinding {
      part.shards == 1
        ? bind(name, parameter) : bind(name, parameter, 0..<rows.count, extract: .rows(rows, of: count))
    }
    var table: [WeightBinding] = []
    if let projection = tables.projection {
      table.append(
        rows("\(name).word_embeddings.embeddings.weight", tables.words, tables.wordRows, of: words))
      table += bind("\(name).word_embeddings.projections", projection)
    } else {
      table.append(rows("\(name).word_embeddings.weight", tables.words, tables.wordRows, of: words))
    }
    table.append(
      rows(
        "\(name).position_embeddings.weight", tables.positions, tables.positionRows,
        of: configuration.maximumPositions))
    if part.shard == 0 { table.append(bind("\(name).token_type_embeddings.weight", tables.types)) }
    return table + bind("\(name).LayerNorm", tables.norm)
  }

  private func bind(_ layer: BERTLayer, _ name: String) -> [WeightBinding] {
    var table: [WeightBinding] = []
    let (hidden, inner) = (configuration.hiddenSize, configuration.intermediateSize)
    let size = hidden / configuration.headCount
    let heads = part.share(of: configuration.headCount)
    let columns = heads.lowerBound * size..<heads.upperBound * size
    // One matrix holds the rows of query, then key, then value projection.
    for (place, kind) in ["query", "key", "value"].enumerated() {
      let rows = place * columns.count..<(place + 1) * columns.count
      let projection = layer.attention.projection
      for parameter in projection.parameters {
        let end = parameter === projection.weight ? "weight" : "bias"
        table.append(
          bind("\(name).attention.self.\(kind).\(end)", parameter, rows, extract: .rows(columns, of: hidden)))
      }
    }
    table += bindInputs("\(name).attention.output.dense", layer.attention.output, columns, of: hidden)
    table += bind("\(name).attention.output.LayerNorm", layer.attentionNorm)
    let units = part.share(of: inner)
    for parameter in layer.intermediate.parameters {
      let end = parameter === layer.intermediate.weight ? "weight" : "bias"
      table.append(bind("\(name).intermediate.dense.\(end)", parameter, extract: .rows(units, of: inner)))
    }
    table += bindInputs("\(name).output.dense", layer.output, units, of: inner)
    return table + bind("\(name).output.LayerNorm", layer.outputNorm)
  }

  /// A row-parallel layer: a shard has some of its inputs, and shard 0 adds the bias.
  private func bindInputs(_ name: String, _ linear: Linear, _ inputs: Range<Int>, of count: Int) -> [WeightBinding] {
    let extract: WeightExtract = part.shards == 1 ? .all : .columns(inputs, of: count)
    let weight = bind("\(name).weight", linear.weight, extract: extract)
    let bias = part.shard == 0 ? linear.bias : nil
    return [weight] + (bias.map { [bind("\(name).bias", $0)] } ?? [])
  }

  private func bind(_ name: String, _ linear: Linear, isHead: Bool = false) -> [WeightBinding] {
    [bind("\(name).weight", linear.weight, isHead: isHead)]
      + (linear.bias.map { [bind("\(name).bias", $0, isHead: isHead)] } ?? [])
  }

  private func bind(_ name: String, _ norm: LayerNorm) -> [WeightBinding] {
    // Checkpoints converted from the original TensorFlow release call them gamma and beta.
    [bind("\(name).weight", norm.gamma, old: "\(name).gamma"), bind("\(name).bias", norm.beta, old: "\(name).beta")]
  }

  private func bind(
    _ name: String, _ parameter: Parameter, _ rows: Range<Int>? = nil, old: String? = nil, isHead: Bool = false,
    extract: WeightExtract = .all
  ) -> WeightBinding {
    let names = [name] + (old.map { [$0] } ?? [])
    // A checkpoint of a bare encoder lacks the prefix.
    let bare = names.compactMap { $0.hasPrefix("bert.") ? String($0.dropFirst(5)) : nil }
    return WeightBinding(
      name, parameter, rows: rows, extract: extract, aliases: Array(names.dropFirst()) + bare, isHead: isHead)
  }
}
