import Foundation
import Platform

/// Normalizers one after the other.
struct NormalizerSequence: Normalizer {
  let parts: [any Normalizer]

  func add(to digest: Digest) {
    digest.update("normalizers \(parts.count)")
    for part in parts { part.add(to: digest) }
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

/// Puts bytes before a text that is not empty.
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

/// Puts other bytes in the place of each match of a pattern.
struct ReplaceNormalizer: Normalizer {
  /// What is replaced: a fixed text, or one of the few regular expressions that tokenizers use.
  enum Pattern: Sendable, Equatable {
    case text([UInt8])
    /// `^ +| +$`: spaces at the beginning and at the end of each line.
    case outerSpaces
    /// ` {2,}`: two spaces or more.
    case severalSpaces

    /// The pattern of a regular expression, nil for one that is not known.
    init?(regex: String) {
      switch regex {
      case "^ +| +$": self = .outerSpaces
      case " {2,}": self = .severalSpaces
      default: return nil
      }
    }
  }

  let pattern: Pattern
  let replacement: [UInt8]

  func add(to digest: Digest) { digest.update("replace \(pattern) \(replacement)") }

  func normalize(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    output.reserveCapacity(output.count + text.count * 5 / 4)
    var index = 0
    while index < text.count {
      let end = matchEnd(text, index)
      if end > index {
        output.append(contentsOf: replacement)
        index = end
      } else {
        output.append(text[index])
        index += 1
      }
    }
  }

  /// Where the match that starts at `index` ends; `index` where there is none.
  @inline(__always)
  private func matchEnd(_ text: UnsafeBufferPointer<UInt8>, _ index: Int) -> Int {
    switch pattern {
    case .text(let bytes):
      guard text[index] == bytes.first, text[index...].starts(with: bytes) else { return index }
      return index + bytes.count
    case .outerSpaces, .severalSpaces:
      var end = index
      while end < text.count, text[end] == 0x20 { end += 1 }
      if pattern == .severalSpaces { return end - index >= 2 ? end : index }
      let startsLine = index == 0 || text[index - 1] == 0x0a
      return startsLine || end == text.count || text[end] == 0x0a ? end : index
    }
  }
}

/// One of Unicode's normal forms.
struct UnicodeNormalizer: Normalizer {
  enum Form: String, Sendable { case nfc = "NFC", nfd = "NFD", nfkc = "NFKC", nfkd = "NFKD" }

  let form: Form

  func add(to digest: Digest) { digest.update("unicode \(form.rawValue)") }

  func normalize(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    // ASCII is in every normal form.
    if text.allSatisfy({ $0 < 0x80 }) { return output.append(contentsOf: text) }
    let string = String(decoding: text, as: UTF8.self)
    let normal =
      switch form {
      case .nfc: string.precomposedStringWithCanonicalMapping
      case .nfd: string.decomposedStringWithCanonicalMapping
      case .nfkc: string.precomposedStringWithCompatibilityMapping
      case .nfkd: string.decomposedStringWithCompatibilityMapping
      }
    output.append(contentsOf: normal.utf8)
  }
}
