import Foundation
import Platform

/// BERT's normalisation: removes control characters, turns white space into spaces, separates CJK characters, strips
/// accents and lowercases.
struct BERTNormalizer: Normalizer {
  let cleansText: Bool
  let separatesChinese: Bool
  let stripsAccents: Bool
  let lowercases: Bool

  /// The normal form of each ASCII byte, or `removed`.
  private let asciiForm: [UInt8]
  private static let removed: UInt8 = 0xff

  /// - Parameter stripsAccents: nil means the same as `lowercases`.
  init(cleansText: Bool = true, separatesChinese: Bool = true, stripsAccents: Bool? = nil, lowercases: Bool = true) {
    self.cleansText = cleansText
    self.separatesChinese = separatesChinese
    self.stripsAccents = stripsAccents ?? lowercases
    self.lowercases = lowercases
    asciiForm = (0..<128).map { (byte: UInt8) in
      if cleansText {
        if byte == 0x09 || byte == 0x0a || byte == 0x0d { return 0x20 }
        if byte < 0x20 || byte == 0x7f { return BERTNormalizer.removed }
      }
      return lowercases && (0x41...0x5a).contains(byte) ? byte | 0x20 : byte
    }
  }

  func add(to digest: Digest) {
    digest.update("bert normalizer \(cleansText) \(separatesChinese) \(stripsAccents) \(lowercases)")
  }

  func removesStart(of text: UnsafeBufferPointer<UInt8>) -> Bool {
    guard !text.isEmpty else { return false }
    let scalar = UTF8Text.scalar(at: 0, in: text).scalar
    return cleansText && isRemovedByCleaning(scalar) || stripsAccents && isStrippedMark(scalar)
  }

  func normalize(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    output.reserveCapacity(output.count + text.count)
    asciiForm.withUnsafeBufferPointer { form in
      var index = 0
      while index < text.count {
        let byte = text[index]
        if byte < 0x80 {
          let mapped = form[Int(byte)]
          if mapped != BERTNormalizer.removed { output.append(mapped) }
          index += 1
        } else {
          index = normalizeRun(text, from: index, form, into: &output)
        }
      }
    }
  }

  /// Normalises text from a non-ASCII scalar up to the next ASCII character that is kept; returns that one's index.
  ///
  /// Decomposition depends only on a scalar and the marks after it, and never crosses ASCII. Characters that cleaning
  /// removes do not end a run: the marks on both sides of them become adjacent.
  private func normalizeRun(
    _ text: UnsafeBufferPointer<UInt8>, from start: Int, _ form: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]
  ) -> Int {
    var run = ScalarRun()
    var index = start
    while index < text.count {
      if text[index] < 0x80 {
        if form[Int(text[index])] != BERTNormalizer.removed { break }
        index += 1
        continue
      }
      let (scalar, next) = UTF8Text.scalar(at: index, in: text)
      index = next
      if cleansText && isRemovedByCleaning(scalar) { continue }
      if cleansText && isWhiteSpace(scalar) {
        run.append(" ")
      } else if separatesChinese && isChineseCharacter(scalar) {
        run.append(" ")
        run.append(scalar)
        run.append(" ")
      } else if stripsAccents && !isInertUnderDecomposition(scalar) && !isKnownToDecomposition(scalar) {
        flush(&run, into: &output)
        appendLowercased(scalar, to: &output)
      } else {
        run.append(scalar)
      }
    }
    flush(&run, into: &output)
    return index
  }

  /// Pending scalars, and whether decomposition can change any of them.
  private struct ScalarRun {
    var scalars = String.UnicodeScalarView()
    var needsDecomposition = false

    mutating func append(_ scalar: Unicode.Scalar) {
      scalars.append(scalar)
      if !needsDecomposition && !isInertUnderDecomposition(scalar) { needsDecomposition = true }
    }
  }

  private func flush(_ run: inout ScalarRun, into output: inout [UInt8]) {
    if stripsAccents && run.needsDecomposition {
      for scalar in String(run.scalars).decomposedStringWithCanonicalMapping.unicodeScalars
      where !isStrippedMark(scalar) {
        appendLowercased(scalar, to: &output)
      }
    } else {
      for scalar in run.scalars { appendLowercased(scalar, to: &output) }
    }
    run = ScalarRun()
  }

  private func appendLowercased(_ scalar: Unicode.Scalar, to output: inout [UInt8]) {
    if lowercases { Tokenizers.appendLowercased(scalar, to: &output) } else { UTF8Text.append(scalar, to: &output) }
  }
}

/// Appends the scalar's lower case without regard to its neighbours (no final sigma), as the reference does.
func appendLowercased(_ scalar: Unicode.Scalar, to output: inout [UInt8]) {
  if !isCaseless(scalar) && scalar.properties.changesWhenLowercased {
    output.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
  } else {
    UTF8Text.append(scalar, to: &output)
  }
}
