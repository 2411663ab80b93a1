// The normalizers on text that knows its origin. Each gives the same text as `normalize`.

extension NormalizerSequence {
  func align(_ text: inout AlignedText) { for part in parts { part.align(&text) } }
}

extension PrependNormalizer {
  func align(_ text: inout AlignedText) { text.prepend(prefix) }
}

extension ReplaceNormalizer {
  func align(_ text: inout AlignedText) { text.replace(pattern, by: replacement) }
}

extension LowercaseNormalizer {
  func align(_ text: inout AlignedText) { text.map(appendLowercased) }
}

extension StripNormalizer {
  func align(_ text: inout AlignedText) { text.keep(text.bytes.withUnsafeBufferPointer(kept)) }
}

extension StripAccentsNormalizer {
  func align(_ text: inout AlignedText) { text.remove(where: isCombiningMark) }
}

extension NMTNormalizer {
  func align(_ text: inout AlignedText) {
    text.map { scalar, output in
      if !isRemoved(scalar) { UTF8Text.append(isSpace(scalar) ? " " : scalar, to: &output) }
    }
  }
}

extension BERTNormalizer {
  func align(_ text: inout AlignedText) {
    if cleansText {
      text.map { scalar, output in
        if !isRemovedByCleaning(scalar) { UTF8Text.append(isWhiteSpace(scalar) ? " " : scalar, to: &output) }
      }
    }
    if separatesChinese {
      text.map { scalar, output in
        let isSeparated = isChineseCharacter(scalar)
        if isSeparated { output.append(0x20) }
        UTF8Text.append(scalar, to: &output)
        if isSeparated { output.append(0x20) }
      }
    }
    if stripsAccents {
      UnicodeNormalizer(form: .nfd).align(&text)
      text.remove(where: isStrippedMark)
    }
    if lowercases { text.map(Tokenizers.appendLowercased) }
  }
}

extension SpaceNormalizer {
  func align(_ text: inout AlignedText) {
    if removesExtra {
      text.keep(text.bytes.withUnsafeBufferPointer(withoutOuterSpaces))
      // A space stands for the last one of its run.
      text.replace(TextPattern(run: " "), by: [0x20])
    }
    if escapes { text.replace(TextPattern(text: " "), by: MetaspaceMark.bytes) }
    if doublesFirstMark, text.bytes.starts(with: MetaspaceMark.bytes) { text.prepend(MetaspaceMark.bytes) }
  }
}

extension PrecompiledNormalizer {
  func align(_ text: inout AlignedText) {
    var changes = Changes()
    for cluster in String(decoding: text.bytes, as: UTF8.self) {
      let bytes = Array(cluster.utf8)
      if bytes.count <= PrecompiledNormalizer.longestCluster, let new = replacement(of: bytes) {
        changes.add(new, replacing: cluster.unicodeScalars.count)
        continue
      }
      for scalar in cluster.unicodeScalars {
        changes.add(replacement(of: Array(String(scalar).utf8)) ?? [scalar], replacing: 1)
      }
    }
    text.replaceAll(by: changes.characters.map { ($0.scalar, max(0, 1 - $0.change)) })
  }

  /// Replacements as the library counts them: a change of 1 adds a character, 0 replaces one, −n replaces one and
  /// removes the n after it. Characters that are removed belong to the one before them, or to none at the beginning of
  /// a text, whose later characters then have the origins of earlier ones.
  private struct Changes {
    private(set) var characters: [(scalar: Unicode.Scalar, change: Int)] = []

    mutating func add(_ new: [Unicode.Scalar], replacing count: Int) {
      characters += new.map { ($0, 0) }
      let difference = new.count - count
      if difference > 0 {
        for index in characters.indices.suffix(difference) { characters[index].change = 1 }
      } else if difference < 0, !characters.isEmpty {
        characters[characters.count - 1].change += difference
      }
    }
  }

  private func replacement(of characters: [UInt8]) -> [Unicode.Scalar]? {
    guard let range = characters.withUnsafeBufferPointer(map.replacement) else { return nil }
    return Array(String(decoding: map.text[range], as: UTF8.self).unicodeScalars)
  }
}
