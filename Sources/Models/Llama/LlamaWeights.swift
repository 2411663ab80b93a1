import Autograd
import Layers

extension LlamaModel {
  /// The checkpoint names of `LlamaForCausalLM`; a decoder saved without its head lacks the prefix `model.`.
  package var weightTable: [WeightBinding] {
    var table: [WeightBinding] = []
    let tokens = rows(share.vocabulary, of: configuration.vocabularySize)
    if let words { table.append(bind("model.embed_tokens.weight", words, extract: tokens)) }
    for layer in layers { table += bindings(of: layer) }
    if let norm { table.append(bind("model.norm.weight", norm.gamma)) }
    if part.hasHead, !sharesTable {
      let name = configuration.isTied ? "model.embed_tokens.weight" : "lm_head.weight"
      table.append(bind(name, head, extract: tokens, isHead: !configuration.isTied))
    }
    return table
  }

  private func bindings(of layer: LlamaLayer) -> [WeightBinding] {
    let name = "model.layers.\(layer.number)"
    let size = configuration.headSize
    var table = [bind("\(name).input_layernorm.weight", layer.attentionNorm.gamma)]
    let queries = share.heads.count * size
    let taken = rows(share.heads.lowerBound * size..<share.heads.upperBound * size, of: configuration.headCount * size)
    for parameter in layer.attention.projection.parameters {
      let kind = parameter === layer.attention.projection.bias ? "bias" : "weight"
      table.append(bind("\(name).self_attn.q_proj.\(kind)", parameter, 0..<queries, extract: taken))
      let keys = share.keyValueHeads.count * size
      table += keyValueBindings("\(name).self_attn.k_proj.\(kind)", parameter, from: queries)
      table += keyValueBindings("\(name).self_attn.v_proj.\(kind)", parameter, from: queries + keys)
    }
    table += rowParallel("\(name).self_attn.o_proj", layer.attention.output, transposed(taken))
    table.append(bind("\(name).post_attention_layernorm.weight", layer.feedForwardNorm.gamma))
    let inner = rows(share.inner, of: configuration.intermediateSize)
    let count = share.inner.count
    for parameter in layer.feedForward.gateUp.parameters {
      let kind = parameter === layer.feedForward.gateUp.bias ? "bias" : "weight"
      table.append(bind("\(name).mlp.gate_proj.\(kind)", parameter, 0..<count, extract: inner))
      table.append(bind("\(name).mlp.up_proj.\(kind)", parameter, count..<2 * count, extract: inner))
    }
    return table + rowParallel("\(name).mlp.down_proj", layer.feedForward.down, transposed(inner))
  }

  /// Bindings of keys or values: one for heads that are consecutive in the file, otherwise one per head.
  private func keyValueBindings(_ name: String, _ parameter: Parameter, from first: Int) -> [WeightBinding] {
    let (size, here) = (configuration.headSize, share.keyValueHeads)
    let all = configuration.keyValueHeadCount * size
    if here == Array(here[0]..<here[0] + here.count) {
      let taken = rows(here[0] * size..<(here[0] + here.count) * size, of: all)
      return [bind(name, parameter, first..<first + here.count * size, extract: taken)]
    }
    return here.enumerated().map { place, head in
      let start = first + place * size
      return bind(name, parameter, start..<start + size, extract: rows(head * size..<(head + 1) * size, of: all))
    }
  }

  /// A matrix whose inputs are split, and its bias, which one shard holds.
  private func rowParallel(_ name: String, _ linear: Linear, _ columns: WeightExtract) -> [WeightBinding] {
    [bind("\(name).weight", linear.weight, extract: columns)] + (linear.bias.map { [bind("\(name).bias", $0)] } ?? [])
  }

  private func rows(_ range: Range<Int>, of count: Int) -> WeightExtract {
    range == 0..<count ? .all : .rows(range, of: count)
  }

  private func transposed(_ extract: WeightExtract) -> WeightExtract {
    if case .rows(let range, let count) = extract { .columns(range, of: count) } else { .all }
  }

  private func bind(
    _ name: String, _ parameter: Parameter, _ rows: Range<Int>? = nil, extract: WeightExtract = .all,
    isHead: Bool = false
  ) -> WeightBinding {
    let bare = name.hasPrefix("model.") ? [String(name.dropFirst(6))] : []
    return WeightBinding(name, parameter, rows: rows, extract: extract, aliases: bare, isHead: isHead)
  }
}
