import Foundation
import Platform

/// Applies normalizers in order.
struct NormalizerSequence: Normalizer {
  let parts: [any Normalizer]

  func add(to digest: Digest) {
    digest.update("normalizers \(parts.count)")
    for part in parts { part.add(to: digest) }
  }

  func removesStart(of text: UnsafeBufferPointer<UInt8>) -> Bool {
    var current = Array(text)
    for part in parts {
      if current.withUnsafeBufferPointer(part.removesStart) { return true }
      var next: [UInt8] = []
      current.withUnsafeBufferPointer { part.normalize($0, into: &next) }
      current = next
    }
    return false
  }

  func normalize(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    guard let first = parts.first else { return output.append(contentsOf: text) }
    var current: [UInt8] = []
    first.normalize(text, into: &current)
    for part in parts.dropFirst() {
      var next: [UInt8] = []
      current.withUnsafeBufferPointer { part.normalize($0, into: &next) }
      current = next
    }
    output.append(contentsOf: current)
  }
}

/// Prepends bytes to a non-empty text.
struct PrependNormalizer: Normalizer {
  let prefix: [UInt8]

  func add(to digest: Digest) { digest.update("prepend \(prefix)") }

  func normalize(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    if text.isEmpty { return }
    output.reserveCapacity(output.count + prefix.count + text.count)
    output.append(contentsOf: prefix)
    output.append(contentsOf: text)
  }
}

/// Replaces each match of a pattern by other bytes.
struct ReplaceNormalizer: Normalizer {
  let pattern: TextPattern
  let replacement: [UInt8]

  func add(to digest: Digest) { digest.update("replace \(pattern) \(replacement)") }

  func removesStart(of text: UnsafeBufferPointer<UInt8>) -> Bool {
    replacement.isEmpty && !text.isEmpty && pattern.matchEnd(text, 0) > 0
  }

  func normalize(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    output.reserveCapacity(output.count + text.count * 5 / 4)
    var index = 0
    while index < text.count {
      let end = pattern.matchEnd(text, index)
      if end > index {
        output.append(contentsOf: replacement)
        index = end
      } else {
        // Skip to the next character, since a match never begins inside one.
        repeat {
          output.append(text[index])
          index += 1
        } while index < text.count && text[index] & 0xc0 == 0x80
      }
    }
  }
}

/// Lowercases each character without regard to its neighbours (no final sigma).
struct LowercaseNormalizer: Normalizer {
  func add(to digest: Digest) { digest.update("lowercase") }

  func normalize(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    output.reserveCapacity(output.count + text.count)
    var index = 0
    while index < text.count {
      let byte = text[index]
      if byte < 0x80 {
        output.append((0x41...0x5a).contains(byte) ? byte | 0x20 : byte)
        index += 1
      } else {
        let (scalar, next) = UTF8Text.scalar(at: index, in: text)
        appendLowercased(scalar, to: &output)
        index = next
      }
    }
  }
}

/// Removes white space from the beginning and the end of a text.
struct StripNormalizer: Normalizer {
  let left: Bool
  let right: Bool

  func add(to digest: Digest) { digest.update("strip \(left) \(right)") }

  func removesStart(of text: UnsafeBufferPointer<UInt8>) -> Bool {
    left && !text.isEmpty && isWhiteSpace(UTF8Text.scalar(at: 0, in: text).scalar)
  }

  func normalize(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    output.append(contentsOf: text[kept(text)])
  }

  /// The bytes of a text that are kept.
  func kept(_ text: UnsafeBufferPointer<UInt8>) -> Range<Int> {
    var (start, end) = (0, text.count)
    while left, start < end {
      let (scalar, next) = UTF8Text.scalar(at: start, in: text)
      guard isWhiteSpace(scalar) else { break }
      start = next
    }
    while right, end > start {
      let (scalar, previous) = UTF8Text.scalar(before: end, in: text)
      guard isWhiteSpace(scalar) else { break }
      end = previous
    }
    return start..<end
  }
}

/// Removes combining marks (general category M); a decomposition before it turns accents into marks.
struct StripAccentsNormalizer: Normalizer {
  func add(to digest: Digest) { digest.update("strip accents") }

  func removesStart(of text: UnsafeBufferPointer<UInt8>) -> Bool {
    !text.isEmpty && isCombiningMark(UTF8Text.scalar(at: 0, in: text).scalar)
  }

  func normalize(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    output.reserveCapacity(output.count + text.count)
    var index = 0
    while index < text.count {
      let (scalar, next) = UTF8Text.scalar(at: index, in: text)
      if !isCombiningMark(scalar) { output.append(contentsOf: text[index..<next]) }
      index = next
    }
  }
}

/// One of Unicode's normal forms.
struct UnicodeNormalizer: Normalizer {
  enum Form: String, Sendable {
    case nfc = "NFC"
    case nfd = "NFD"
    case nfkc = "NFKC"
    case nfkd = "NFKD"
  }

  let form: Form

  func add(to digest: Digest) {
    digest.update("unicode \(form.rawValue)")
    // Token caches from before this form composed letters that decomposition reveals are not used again.
    if form == .nfkc { digest.update("composed") }
    // The same for those from before rare characters were normalised exactly.
    if form != .nfkc { digest.update("exact") }
  }

  func normalize(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    // ASCII is in every normal form.
    if text.allSatisfy({ $0 < 0x80 }) { return output.append(contentsOf: text) }
    // Characters that the reference's older tables do not know stay unchanged between the others.
    let before = output.count
    var start = 0
    var index = 0
    while index < text.count {
      let (scalar, next) = UTF8Text.scalar(at: index, in: text)
      if UnicodeNormalizer.isRare(scalar) {
        output.removeLast(output.count - before)
        for (scalar, _) in NormalForm.characters(of: text, form) { UTF8Text.append(scalar, to: &output) }
        return
      }
      if UnicodeNormalizer.isUnknown(scalar) {
        normalizeKnown(UnsafeBufferPointer(rebasing: text[start..<index]), into: &output)
        output.append(contentsOf: text[index..<next])
        start = next
      }
      index = next
    }
    normalizeKnown(UnsafeBufferPointer(rebasing: text[start...]), into: &output)
  }

  /// Whether the reference's tables are older than the character.
  @inline(__always)
  static func isUnknown(_ scalar: Unicode.Scalar) -> Bool {
    // Symbols above U+1F000 have compatibility forms but no canonical ones.
    (scalar.value >= 0x1f000 || !isInertUnderDecomposition(scalar)) && !isKnownToDecomposition(scalar)
  }

  /// Whether Foundation's normal form of a text with this character can differ from Unicode's: a final letter of a
  /// Hangul syllable is not joined to what is before it, and the marks that some characters consist of are not put in
  /// order with others.
  @inline(__always)
  private static func isRare(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0...0x384: false
    case 0x385, 0xf73, 0xf75, 0xf81, 0x11a8...0x11c2, 0x1fc1, 0x1fcd...0x1fcf, 0x1fdd...0x1fdf, 0x1fed, 0x1fee, 0x1ffd:
      true
    default: false
    }
  }

  private func normalizeKnown(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    let string = String(decoding: text, as: UTF8.self)
    let normal =
      switch form {
      case .nfc: string.precomposedStringWithCanonicalMapping
      case .nfd: string.decomposedStringWithCanonicalMapping
      // Foundation's own NFKC leaves a mark beside a letter that only decomposition reveals (U+FF8A U+FF9F).
      case .nfkc: string.decomposedStringWithCompatibilityMapping.precomposedStringWithCanonicalMapping
      case .nfkd: string.decomposedStringWithCompatibilityMapping
      }
    output.append(contentsOf: normal.utf8)
  }
}
