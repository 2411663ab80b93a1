import Platform

/// What a part of a model has of each layer and of the vocabulary.
struct LlamaShare {
  /// Query heads, by their number in the whole model.
  let heads: Range<Int>
  /// For each key/value head that is here its number in the whole model; one may be here several times.
  let keyValueHeads: [Int]
  /// Inner units of the feed-forward part.
  let inner: Range<Int>
  /// Tokens whose embedding and whose row of the head are here.
  let vocabulary: Range<Int>

  /// Key/value heads stay whole groups as long as there are enough of them; with more slices than that, a slice has
  /// the one that its query heads share, or else one of its own for each query head.
  ///
  /// Throws `.configuration` for more slices than heads, inner units or tokens.
  init(_ configuration: LlamaConfiguration, _ part: ModelPart) throws {
    let (all, groups) = (configuration.headCount, configuration.keyValueHeadCount)
    let group = all / groups
    for (count, name) in [
      (all, "heads"), (configuration.intermediateSize, "inner units"), (configuration.vocabularySize, "tokens"),
    ] where part.slices > count {
      throw RetortError(
        .configuration, "a model with \(count) \(name) cannot be cut into \(part.slices) slices",
        remedy: "use at most \(count) ranks for a slice each, or sharding: pipeline")
    }
    if part.slices <= groups {
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
