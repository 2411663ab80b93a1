extension PipelineTokenizer {
  func encode(words: [String], maxLength: Int?, addSpecialTokens: Bool) -> WordEncoding {
    var ids: [Int32] = []
    var indices: [Int32] = []
    for (index, word) in words.enumerated() {
      ids += self.ids(of: word)
      indices += repeatElement(Int32(truncatingIfNeeded: index), count: ids.count - indices.count)
    }
    let text = PlacedText(count: ids.count, self, maxLength: maxLength, addSpecialTokens: addSpecialTokens)
    let encoding = text.encoding(of: ids)
    return WordEncoding(
      ids: encoding.ids, typeIDs: encoding.typeIDs, words: text.spread(indices, special: -1))
  }
}

/// The tokens of one text that remain within a maximal length, and their place among the special tokens.
struct PlacedText {
  /// The tokens of the text that remain.
  let kept: Range<Int>
  private let postProcessor: any PostProcessor
  private let addSpecialTokens: Bool
  private let limit: Int

  /// - Parameter count: the number of tokens of the whole text.
  init(count: Int, _ tokenizer: PipelineTokenizer, maxLength: Int?, addSpecialTokens: Bool) {
    postProcessor = tokenizer.postProcessor
    self.addSpecialTokens = addSpecialTokens
    limit = max(0, maxLength ?? .max)
    let reserved = addSpecialTokens ? postProcessor.specialTokenCount(isPair: false) : 0
    let number = min(count, max(0, limit - reserved))
    kept = tokenizer.truncatesLeft ? count - number..<count : 0..<number
  }

  /// The encoding with the special tokens, which are cut themselves if they alone exceed the limit.
  func encoding(of ids: [Int32]) -> Encoding {
    let all = postProcessor.assemble(Array(ids[kept]), nil, addSpecialTokens: addSpecialTokens)
    if all.ids.count <= limit { return all }
    return Encoding(ids: Array(all.ids.prefix(limit)), typeIDs: Array(all.typeIDs.prefix(limit)))
  }

  /// One value for each token of the encoding: those of the text's tokens, and `special` for special tokens.
  func spread<Value>(_ values: [Value], special: Value) -> [Value] {
    guard addSpecialTokens else { return Array(values[kept]) }
    var result = [Value](repeating: special, count: postProcessor.leadingTokenCount)
    result += values[kept]
    let total = kept.count + postProcessor.specialTokenCount(isPair: false)
    result += repeatElement(special, count: total - result.count)
    return Array(result.prefix(limit))
  }
}
