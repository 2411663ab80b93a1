import Autograd
import Layers

extension DecoderModel {
  /// The checkpoint names of the family's `…ForCausalLM`; a decoder saved without its head lacks the prefix.
  package var weightTable: [WeightBinding] {
    var table: [WeightBinding] = []
    let (tokens, all) = (share.vocabulary, configuration.vocabularySize)
    func full(_ name: String) -> String { "\(names.prefix)\(name)" }
    if let words { table.append(bind("\(full(names.words)).weight", words, extract: .part(rows: tokens, of: all))) }
    if let positions { table.append(bind("\(full(names.positions)).weight", positions)) }
    for layer in layers { table += bindings(of: layer) }
    if let norm { table += bind(full(names.norm), norm) }
    if part.hasHead, configuration.classes == nil, !sharesTable {
      let name = configuration.isTied ? full(names.words) : names.head
      table.append(
        bind("\(name).weight", head, extract: .part(rows: tokens, of: all), isHead: !configuration.isTied))
    }
    return table
  }

  private var names: DecoderNames { configuration.names }

  private func bindings(of layer: DecoderLayer) -> [WeightBinding] {
    let name = "\(names.prefix)\(names.layers)\(layer.number)."
    let (attention, fed, size) = (layer.attention, layer.feedForward, configuration.headSize)
    var table = bind(name + names.attentionNorm, layer.attentionNorm)
    table += projections(name, attention.projection)
    if let norm = attention.norm {
      table.append(bind("\(name)\(names.queryNorm).weight", norm.query))
      table.append(bind("\(name)\(names.keyNorm).weight", norm.key))
    }
    let queries = share.heads.lowerBound * size..<share.heads.upperBound * size
    table += bind(name + names.attentionOutput, attention.output, inputs: queries, of: configuration.queryWidth)
    if let norm = layer.postAttentionNorm { table += bind(name + names.postAttentionNorm, norm) }
    table += bind(name + names.feedForwardNorm, layer.feedForwardNorm)
    let (units, all, count) = (share.inner, configuration.intermediateSize, share.inner.count)
    if configuration.isGated {
      table += bind(name + names.gate, fed.up, rows: 0..<count, outputs: units, of: all)
      table += bind(name + names.up, fed.up, rows: count..<2 * count, outputs: units, of: all)
    } else {
      table += bind(name + names.up, fed.up, outputs: units, of: all)
    }
    table += bind(name + names.down, fed.down, inputs: units, of: all)
    if let norm = layer.postFeedForwardNorm { table += bind(name + names.postFeedForwardNorm, norm) }
    return table
  }

  /// Queries, keys and values, which are one matrix here and one or three in the file.
  private func projections(_ name: String, _ linear: Linear) -> [WeightBinding] {
    let (queries, keys) = (configuration.queryWidth, configuration.keyWidth)
    if let fused = names.projection {
      let all = queries + 2 * keys
      if part.shards == 1 { return bind(name + fused, linear, outputs: 0..<all, of: all) }
      return projections(
        [(name + fused, 0, all), (name + fused, queries, all), (name + fused, queries + keys, all)], linear)
    }
    return projections(
      [(name + names.query, 0, queries), (name + names.key, 0, keys), (name + names.value, 0, keys)], linear)
  }

  /// Binds the runs of heads that are consecutive in the file.
  ///
  /// - Parameter files: for queries, keys and values the name of the tensor, its row at which they begin, and its rows.
  private func projections(_ files: [(name: String, start: Int, rows: Int)], _ linear: Linear) -> [WeightBinding] {
    let size = configuration.headSize
    var (table, row): ([WeightBinding], Int) = ([], 0)
    for (file, heads) in zip(files, [Array(share.heads), share.keyValueHeads, share.keyValueHeads]) {
      for run in runs(of: heads) {
        let taken = file.start + run.lowerBound * size..<file.start + run.upperBound * size
        table += bind(file.name, linear, rows: row..<row + taken.count, outputs: taken, of: file.rows)
        row += taken.count
      }
    }
    // The order of the parameters: weights before biases.
    return table.filter { $0.parameter === linear.weight } + table.filter { $0.parameter !== linear.weight }
  }

  /// Consecutive numbers as ranges: [2, 3, 4, 4] is 2 ..< 5 and 4 ..< 5.
  private func runs(of heads: [Int]) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    for head in heads {
      if let last = runs.last, last.upperBound == head {
        runs[runs.count - 1] = last.lowerBound..<head + 1
      } else {
        runs.append(head..<head + 1)
      }
    }
    return runs
  }

  /// A linear layer with some of its outputs in this part.
  ///
  /// - Parameter rows: the rows of the layer's parameters; nil: all of them.
  private func bind(
    _ name: String, _ linear: Linear, rows: Range<Int>? = nil, outputs: Range<Int>, of count: Int
  ) -> [WeightBinding] {
    let extract: WeightExtract =
      names.isTransposed
      ? .transposed(rows: 0..<linear.weight.value.columns, columns: outputs, of: [linear.weight.value.columns, count])
      : .part(rows: outputs, of: count)
    return [bind("\(name).weight", linear.weight, rows, extract: extract)]
      + (linear.bias.map { [bind("\(name).bias", $0, rows, extract: .part(rows: outputs, of: count))] } ?? [])
  }

  /// A linear layer with some of its inputs in this part, and its bias, which one shard holds.
  private func bind(_ name: String, _ linear: Linear, inputs: Range<Int>, of count: Int) -> [WeightBinding] {
    let outputs = linear.weight.value.rows
    let extract: WeightExtract =
      names.isTransposed
      ? .transposed(rows: inputs, columns: 0..<outputs, of: [count, outputs])
      : inputs == 0..<count ? .all : .columns(inputs, of: count)
    return [bind("\(name).weight", linear.weight, extract: extract)]
      + (linear.bias.map { [bind("\(name).bias", $0)] } ?? [])
  }

  private func bind(_ name: String, _ norm: DecoderNorm) -> [WeightBinding] {
    zip(norm.parameters, ["weight", "bias"]).map { bind("\(name).\($1)", $0) }
  }

  private func bind(
    _ name: String, _ parameter: Parameter, _ rows: Range<Int>? = nil, extract: WeightExtract = .all,
    isHead: Bool = false
  ) -> WeightBinding {
    WeightBinding(
      name, parameter, rows: rows, extract: extract, aliases: Array(names.spellings(name).dropFirst()), isHead: isHead)
  }
}
