extension PipelineTokenizer {
  func encode(aligned text: String, maxLength: Int?, addSpecialTokens: Bool) -> AlignedEncoding {
    var tokens = AlignedTokens(measuresSpaces: !postProcessor.trims.isEmpty)
    var text = text
    text.withUTF8 { bytes in
      let whole = AlignedText(bytes)
      for segment in addedTokens.splitRaw(bytes) {
        switch segment {
        case .token(let id, let range): tokens.add(id, whole[range])
        case .text(let range): encodeSegment(whole[range], into: &tokens)
        }
      }
    }
    let placed = PlacedText(
      count: tokens.ids.count, self, maxLength: maxLength, addSpecialTokens: addSpecialTokens)
    let encoding = placed.encoding(of: tokens.ids)
    let isFirst = addSpecialTokens ? postProcessor.leadingTokenCount == 0 : true
    for trim in postProcessor.trims {
      tokens.trim(placed.kept, keepsFirstSpace: trim.keepsFirstSpace, isFirst: isFirst || !trim.isAfterTokens)
    }
    return AlignedEncoding(
      ids: encoding.ids, typeIDs: encoding.typeIDs, offsets: placed.spread(tokens.offsets, special: 0..<0))
  }

  private func encodeSegment(_ raw: AlignedText, into tokens: inout AlignedTokens) {
    var text = raw
    normalizer?.align(&text)
    for segment in text.bytes.withUnsafeBufferPointer(addedTokens.splitNormalized) {
      switch segment {
      case .token(let id, let range): tokens.add(id, text[range])
      case .text(let range):
        let piece = text[range]
        for word in preTokenizer?.words(of: piece) ?? [piece] { encodeWord(word, into: &tokens) }
      }
    }
  }

  private func encodeWord(_ word: AlignedText, into tokens: inout AlignedTokens) {
    for span in word.bytes.withUnsafeBufferPointer(model.spans) {
      let value = model.vocabulary.token(of: span.id) ?? ""
      tokens.add(span.id, origin: word.origin(of: span.range), value: value.unicodeScalars)
    }
  }
}

/// A token of a word and its bytes in the word.
struct TokenSpan: Equatable {
  let id: Int32
  let range: Range<Int>
}

/// A step after the model that removes white space from the offsets of tokens, as byte-level tokenizers do.
struct OffsetTrim: Sendable, Equatable {
  /// Whether a single space at the beginning of the text is kept, since the pre-tokenizer may have put it there.
  let keepsFirstSpace: Bool
  /// Whether the special tokens are added before this step.
  var isAfterTokens = false
}

/// The tokens of a text before special tokens are added.
private struct AlignedTokens {
  private(set) var ids: [Int32] = []
  private(set) var offsets: [Range<Int>] = []
  /// The spaces at the beginning and at the end of each token; empty if they are not needed.
  private var spaces: [(leading: Int, trailing: Int)] = []
  private let measuresSpaces: Bool

  init(measuresSpaces: Bool) { self.measuresSpaces = measuresSpaces }

  /// Adds an added token, which is its text.
  mutating func add(_ id: Int32, _ text: AlignedText) {
    let value = String(decoding: text.bytes, as: UTF8.self)
    add(id, origin: text.origin(of: 0..<text.bytes.count), value: value.unicodeScalars)
  }

  mutating func add(_ id: Int32, origin: Range<Int>, value: String.UnicodeScalarView) {
    ids.append(id)
    offsets.append(origin)
    if measuresSpaces {
      spaces.append((value.prefix(while: isSpace).count, value.reversed().prefix(while: isSpace).count))
    }
  }

  /// White space, or the space of the byte alphabet.
  private func isSpace(_ scalar: Unicode.Scalar) -> Bool { scalar.value == 0x120 || isWhiteSpace(scalar) }

  /// Removes white space from the offsets of some tokens.
  mutating func trim(_ tokens: Range<Int>, keepsFirstSpace: Bool, isFirst: Bool) {
    for index in tokens {
      var (start, end) = (offsets[index].lowerBound, offsets[index].upperBound)
      let (leading, trailing) = spaces[index]
      let beginsText = isFirst && index == tokens.lowerBound || start == 0
      if leading > 0, !(keepsFirstSpace && beginsText && leading == 1) { start = min(start + leading, end) }
      if trailing > 0, end >= trailing { end = max(end - trailing, start) }
      offsets[index] = start..<end
    }
  }
}
