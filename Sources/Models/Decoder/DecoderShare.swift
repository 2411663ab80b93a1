import Platform

/// The shard of each layer and of the vocabulary that a part of a model holds.
struct DecoderShare {
  /// Query heads, by index in the whole model.
  let heads: Range<Int>
  /// For each key/value head of this part, its index in the whole model; an index may repeat.
  let keyValueHeads: [Int]
  /// Inner units of the feed-forward layer.
  let inner: Range<Int>
  /// Tokens whose embedding row and head row this part holds.
  let vocabulary: Range<Int>

  /// All of the model.
  init(whole configuration: DecoderConfiguration) {
    heads = 0..<configuration.headCount
    keyValueHeads = Array(0..<configuration.keyValueHeadCount)
    inner = 0..<configuration.intermediateSize
    vocabulary = 0..<configuration.vocabularySize
  }

  /// Splits the heads, inner units and vocabulary of a layer.
  ///
  /// Up to as many shards as key/value heads, groups stay whole. With more shards, a shard holds the single key/value
  /// head that its query heads share, or otherwise one copy per query head.
  ///
  /// Throws `.configuration` for more shards than heads, inner units or tokens.
  init(_ configuration: DecoderConfiguration, _ part: ModelPart) throws {
    let (all, groups) = (configuration.headCount, configuration.keyValueHeadCount)
    let group = all / groups
    for (count, name) in [
      (all, "heads"), (configuration.intermediateSize, "inner units"), (configuration.vocabularySize, "tokens"),
    ] where part.shards > count {
      throw RetortError(
        .configuration, "a model with \(count) \(name) cannot be cut into \(part.shards) shards",
        remedy: "use at most \(count) ranks for a shard each, or sharding: pipeline")
    }
    if part.shards <= groups {
      let here = part.share(of: groups)
      heads = here.lowerBound * group..<here.upperBound * group
      keyValueHeads = Array(here)
    } else {
      heads = part.share(of: all)
      let read = heads.map { $0 / group }
      keyValueHeads = Set(read).count == 1 ? [read[0]] : read
    }
    inner = part.share(of: configuration.intermediateSize)
    vocabulary = part.share(of: configuration.vocabularySize)
  }
}
