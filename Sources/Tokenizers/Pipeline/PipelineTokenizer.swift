import Platform

/// A tokenizer made of replaceable parts; Pieces.swift shows the order in which text passes through them.
struct PipelineTokenizer: Tokenizer {
  let addedTokens: AddedTokens
  let normalizer: (any Normalizer)?
  let preTokenizer: (any PreTokenizer)?
  let model: any SubwordModel
  let postProcessor: any PostProcessor
  let decoder: any TokenDecoder
  /// Whether a text that is too long is cut at its beginning instead of its end.
  let truncatesLeft: Bool
  let digest: String
  var remarks: [String] = []

  init(
    addedTokens: [AddedToken], normalizer: (any Normalizer)?, preTokenizer: (any PreTokenizer)?,
    model: any SubwordModel, postProcessor: any PostProcessor, decoder: any TokenDecoder, truncatesLeft: Bool = false,
    splitsSpecial: Bool = false
  ) {
    self.addedTokens = AddedTokens(addedTokens, normalizer: normalizer, splitsSpecial: splitsSpecial)
    self.normalizer = normalizer
    self.preTokenizer = preTokenizer
    self.model = model
    self.postProcessor = postProcessor
    self.decoder = decoder
    self.truncatesLeft = truncatesLeft

    let digest = Digest()
    digest.update("retort tokenizer 1")
    let pieces: [(any Digestible)?] = [self.addedTokens, normalizer, preTokenizer, model, postProcessor]
    for piece in pieces {
      if let piece { piece.add(to: digest) } else { digest.update("none") }
    }
    if truncatesLeft { digest.update("truncates left") }
    // Token caches from before normalisation could move the beginning of a text are not used again.
    if normalizer != nil, preTokenizer?.dependsOnStart == true { digest.update("start") }
    self.digest = digest.finish()
  }

  var vocabularySize: Int { max(model.vocabulary.size, Int(addedTokens.largestID) + 1) }

  func tokenID(_ token: String) -> Int32? { addedTokens.id(of: token) ?? model.vocabulary.id(of: token) }

  func encode(_ text: String, pair: String?, maxLength: Int?, addSpecialTokens: Bool) -> Encoding {
    encode(text, pair, maxLength, addSpecialTokens).encoding
  }

  func encodeNotingCuts(_ text: String, pair: String?, maxLength: Int?) -> (encoding: Encoding, isCut: Bool) {
    encode(text, pair, maxLength, true)
  }

  private func encode(_ text: String, _ pair: String?, _ maxLength: Int?, _ addSpecialTokens: Bool) -> (
    encoding: Encoding, isCut: Bool
  ) {
    var first = ids(of: text)
    var second = pair.map(ids(of:))
    guard let maxLength else {
      return (postProcessor.assemble(first, second, addSpecialTokens: addSpecialTokens), false)
    }
    let limit = max(0, maxLength)
    let reserved = addSpecialTokens ? postProcessor.specialTokenCount(isPair: pair != nil) : 0
    let isCut = first.count + (second?.count ?? 0) + reserved > limit
    let kept = longestFirst(first.count, second?.count ?? 0, limit: max(0, limit - reserved))
    cut(&first, to: kept.first)
    if var ids = second {
      cut(&ids, to: kept.second)
      second = ids
    }
    var encoding = postProcessor.assemble(first, second, addSpecialTokens: addSpecialTokens)
    if encoding.ids.count > limit {
      // Happens only if the special tokens alone exceed the limit: no position may exceed it.
      encoding = Encoding(ids: Array(encoding.ids.prefix(limit)), typeIDs: Array(encoding.typeIDs.prefix(limit)))
    }
    return (encoding, isCut)
  }

  private func cut(_ ids: inout [Int32], to count: Int) {
    if truncatesLeft { ids.removeFirst(ids.count - count) } else { ids.removeLast(ids.count - count) }
  }

  var leadingToken: Int32? { postProcessor.leadingToken }

  func enclose(_ ids: [Int32]) -> Encoding { postProcessor.assemble(ids, nil, addSpecialTokens: true) }

  var enclosure: (before: Int, after: Int) {
    let before = postProcessor.leadingTokenCount
    return (before, postProcessor.specialTokenCount(isPair: false) - before)
  }

  func largestTypeID(isPair: Bool) -> Int32 { postProcessor.largestTypeID(isPair: isPair) }

  func decode(_ ids: [Int32], skipSpecialTokens: Bool) -> String {
    var tokens: [String] = []
    tokens.reserveCapacity(ids.count)
    for id in ids {
      if skipSpecialTokens && addedTokens.isSpecial(id) { continue }
      if let token = addedTokens.content(of: id) ?? model.vocabulary.token(of: id) { tokens.append(token) }
    }
    return decoder.text(of: tokens)
  }
}

extension PipelineTokenizer {
  /// The ids of a text without the template's special tokens.
  func ids(of text: String) -> [Int32] {
    var text = text
    return text.withUTF8 { bytes in
      var ids: [Int32] = []
      ids.reserveCapacity(bytes.count / 4 + 1)
      var scratch = Scratch()
      for segment in addedTokens.splitRaw(bytes) {
        switch segment {
        case .token(let id, _): ids.append(id)
        case .text(let range):
          scratch.isStart = range.lowerBound == 0
          encodeSegment(UnsafeBufferPointer(rebasing: bytes[range]), scratch: &scratch, into: &ids)
        }
      }
      return ids
    }
  }

  private struct Scratch {
    var normalized: [UInt8] = []
    var rewritten: [UInt8] = []
    var words: [Range<Int>] = []
    /// Whether the segment is the beginning of the text.
    var isStart = false
  }

  /// Normalises text between added tokens, searches it for added tokens in normalised form, and encodes the rest.
  private func encodeSegment(_ raw: UnsafeBufferPointer<UInt8>, scratch: inout Scratch, into ids: inout [Int32]) {
    guard let normalizer else { return encodeNormalized(raw, scratch: &scratch, into: &ids) }
    var normalized: [UInt8] = []
    swap(&normalized, &scratch.normalized)
    normalized.removeAll(keepingCapacity: true)
    normalizer.normalize(raw, into: &normalized)
    if scratch.isStart, preTokenizer?.dependsOnStart == true, normalizer.removesStart(of: raw) {
      scratch.isStart = false
    }
    normalized.withUnsafeBufferPointer { encodeNormalized($0, scratch: &scratch, into: &ids) }
    swap(&normalized, &scratch.normalized)
  }

  private func encodeNormalized(
    _ text: UnsafeBufferPointer<UInt8>, scratch: inout Scratch, into ids: inout [Int32]
  ) {
    for segment in addedTokens.splitNormalized(text) {
      switch segment {
      case .token(let id, _): ids.append(id)
      case .text(let range):
        encodeWords(
          UnsafeBufferPointer(rebasing: text[range]), isStart: scratch.isStart && range.lowerBound == 0,
          scratch: &scratch, into: &ids)
      }
    }
  }

  private func encodeWords(
    _ text: UnsafeBufferPointer<UInt8>, isStart: Bool, scratch: inout Scratch, into ids: inout [Int32]
  ) {
    scratch.words.removeAll(keepingCapacity: true)
    guard let preTokenizer else {
      if !text.isEmpty { scratch.words.append(0..<text.count) }
      return model.encode(text, words: scratch.words, into: &ids)
    }
    if preTokenizer.cut(text, isStart: isStart, rewritten: &scratch.rewritten, words: &scratch.words) {
      scratch.rewritten.withUnsafeBufferPointer { model.encode($0, words: scratch.words, into: &ids) }
    } else {
      model.encode(text, words: scratch.words, into: &ids)
    }
  }
}

/// The numbers of tokens that two texts keep so that they have at most `limit` together; the longer one is cut first.
///
/// If both must be cut and `limit` is odd, the longer text keeps one more (the second of two equally long ones).
func longestFirst(_ first: Int, _ second: Int, limit: Int) -> (first: Int, second: Int) {
  if first + second <= limit { return (first, second) }
  let shorter = min(first, second)
  let short = min(shorter, limit / 2)
  let long = limit - short
  return first > second ? (long, short) : (short, long)
}
