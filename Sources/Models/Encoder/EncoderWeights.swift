import Autograd
import Layers

extension EncoderClassifier {
  /// The checkpoint names of the family's `…ForSequenceClassification`, with the aliases that older files use for the
  /// same tensors.
  package var weightTable: [WeightBinding] {
    var table = embeddings.map { bind($0) } ?? []
    for (layer, index) in zip(layers, part.layers(of: configuration.layerCount)) {
      table += bind(layer, "\(names.prefix)\(names.layers)\(index)")
    }
    if let relativeBias, !layers.isEmpty {
      let heads = part.share(of: configuration.headCount)
      let extract: WeightExtract = part.shards == 1 ? .all : .columns(heads, of: configuration.headCount)
      table.append(bind("\(names.prefix)\(names.relativeBias).weight", relativeBias, extract: extract))
    }
    if let finalNorm { table += bind("\(names.prefix)\(names.finalNorm)", finalNorm) }
    if let dense = head?.dense { table += bind(names.dense, dense, isHead: true) }
    if let norm = head?.norm { table += bind(names.headNorm, norm, isHead: true) }
    if let head { table += bind(configuration.classifierTensor, head.classifier, isHead: true) }
    if let name = configuration.barePooler, let unread {
      for parameter in unread.parameters {
        let end = parameter === unread.weight ? "weight" : "bias"
        table.append(
          WeightBinding(
            "\(name).\(end)", buffer: parameter.value, aliases: Array(names.spellings("\(name).\(end)").dropFirst()),
            isOptional: true))
      }
    }
    return table
  }

  private var names: EncoderNames { configuration.names }

  private func bind(_ tables: EncoderEmbeddings) -> [WeightBinding] {
    let words = configuration.vocabularySize
    func rows(_ name: String, _ parameter: Parameter, _ rows: Range<Int>, of count: Int) -> WeightBinding {
      part.shards == 1
        ? bind(name, parameter) : bind(name, parameter, 0..<rows.count, extract: .rows(rows, of: count))
    }
    func full(_ name: String) -> String { names.prefix + name }
    var table = [rows("\(full(names.words)).weight", tables.words, tables.wordRows, of: words)]
    if let name = names.wordProjection, let projection = tables.projection { table += bind(full(name), projection) }
    if let positions = tables.positions {
      table.append(
        rows("\(full(names.positions)).weight", positions, tables.positionRows, of: configuration.positionRows))
    }
    if part.shard == 0, let types = tables.types { table.append(bind("\(full(names.types)).weight", types)) }
    table += bind(full(names.embeddingNorm), tables.norm)
    if let name = names.projection, let projection = tables.projection { table += bind(full(name), projection) }
    return table
  }

  private func bind(_ layer: EncoderLayer, _ name: String) -> [WeightBinding] {
    var table: [WeightBinding] = []
    let (hidden, inner) = (configuration.hiddenSize, configuration.intermediateSize)
    let size = hidden / configuration.headCount
    let heads = part.share(of: configuration.headCount)
    let columns = heads.lowerBound * size..<heads.upperBound * size
    let projection = layer.attention.projection
    if let fused = names.projections {
      table += bindOutputs("\(name).\(fused)", projection, columns, of: hidden, groups: 3)
    } else {
      // One matrix holds the rows of query, then key, then value projection.
      for (place, kind) in [names.query, names.key, names.value].enumerated() {
        let rows = place * columns.count..<(place + 1) * columns.count
        for parameter in projection.parameters {
          let end = parameter === projection.weight ? "weight" : "bias"
          table.append(
            bind("\(name).\(kind).\(end)", parameter, rows, extract: .rows(columns, of: hidden)))
        }
      }
    }
    table += bindInputs("\(name).\(names.attentionOutput)", layer.attention.output, columns, of: hidden)
    if let norm = layer.attentionNorm { table += bind("\(name).\(names.attentionNorm)", norm) }
    let units = part.share(of: inner)
    table += bindOutputs(
      "\(name).\(names.inner)", layer.intermediate, units, of: inner, groups: configuration.innerFactor)
    table += bindInputs("\(name).\(names.output)", layer.output, units, of: inner)
    return table + bind("\(name).\(names.outputNorm)", layer.outputNorm)
  }

  /// A column-parallel layer: a shard has the same outputs of each of `groups` equal groups.
  private func bindOutputs(
    _ name: String, _ linear: Linear, _ outputs: Range<Int>, of count: Int, groups: Int
  ) -> [WeightBinding] {
    let extract: WeightExtract = groups == 1 ? .rows(outputs, of: count) : .groups(outputs, of: count, groups: groups)
    return linear.parameters.map {
      bind("\(name).\($0 === linear.weight ? "weight" : "bias")", $0, extract: extract)
    }
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

  private func bind(_ name: String, _ norm: LayerNorm, isHead: Bool = false) -> [WeightBinding] {
    // Checkpoints converted from the original TensorFlow release call them gamma and beta.
    let shift = norm.beta.map { [bind("\(name).bias", $0, old: "\(name).beta", isHead: isHead)] } ?? []
    return [bind("\(name).weight", norm.gamma, old: "\(name).gamma", isHead: isHead)] + shift
  }

  private func bind(
    _ name: String, _ parameter: Parameter, _ rows: Range<Int>? = nil, old: String? = nil, isHead: Bool = false,
    extract: WeightExtract = .all
  ) -> WeightBinding {
    let spellings = ([name] + (old.map { [$0] } ?? [])).map(names.spellings)
    // A checkpoint of a bare encoder lacks the prefix.
    let aliases = spellings.flatMap { $0.prefix(1) }.dropFirst() + spellings.flatMap { $0.dropFirst() }
    return WeightBinding(name, parameter, rows: rows, extract: extract, aliases: Array(aliases), isHead: isHead)
  }
}
