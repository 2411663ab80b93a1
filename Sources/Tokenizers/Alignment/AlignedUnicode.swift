import Foundation

extension UnicodeNormalizer {
  func align(_ text: inout AlignedText) {
    if text.bytes.allSatisfy({ $0 < 0x80 }) { return }
    text.replaceAll(by: text.bytes.withUnsafeBufferPointer { NormalForm.characters(of: $0, form) })
  }
}

/// The steps to a normal form, with the number of characters that each new character replaces: decomposition, canonical
/// order of marks, composition (Unicode Standard Annex 15).
struct NormalForm {
  private struct Part {
    var scalar: Unicode.Scalar
    /// 1 for the first part of a character, 0 for the others.
    var replaced: Int
    /// The canonical combining class.
    var order: UInt8
  }

  private let form: UnicodeNormalizer.Form
  private var output: [(scalar: Unicode.Scalar, replaced: Int)] = []
  /// The decomposed characters since the last one that the reference's tables do not know.
  private var parts: [Part] = []

  private init(_ form: UnicodeNormalizer.Form) { self.form = form }

  /// The characters of the normal form of a text, each with the number of characters that it replaces.
  static func characters(
    of text: UnsafeBufferPointer<UInt8>, _ form: UnicodeNormalizer.Form
  ) -> [(scalar: Unicode.Scalar, replaced: Int)] {
    var steps = NormalForm(form)
    var index = 0
    while index < text.count {
      let (scalar, next) = UTF8Text.scalar(at: index, in: text)
      steps.append(scalar)
      index = next
    }
    steps.flush()
    return steps.output
  }

  private mutating func append(_ scalar: Unicode.Scalar) {
    if scalar.isASCII {
      parts.append(Part(scalar: scalar, replaced: 1, order: 0))
    } else if UnicodeNormalizer.isUnknown(scalar) {
      flush()
      output.append((scalar, 1))
    } else {
      let first = parts.count
      for part in decomposition(of: scalar) {
        let order = part.properties.canonicalCombiningClass.rawValue
        parts.append(Part(scalar: part, replaced: parts.count == first ? 1 : 0, order: order))
      }
    }
  }

  private func decomposition(of scalar: Unicode.Scalar) -> String.UnicodeScalarView {
    let string = String(scalar)
    switch form {
    case .nfc, .nfd: return string.decomposedStringWithCanonicalMapping.unicodeScalars
    case .nfkc, .nfkd: return string.decomposedStringWithCompatibilityMapping.unicodeScalars
    }
  }

  private mutating func flush() {
    orderMarks()
    let result = form == .nfc || form == .nfkc ? NormalForm.composed(parts) : parts
    output += result.map { ($0.scalar, $0.replaced) }
    parts.removeAll(keepingCapacity: true)
  }

  /// Sorts each run of marks by class; equal ones keep their order.
  private mutating func orderMarks() {
    var index = 0
    while index < parts.count {
      let start = index
      while index < parts.count, parts[index].order != 0 { index += 1 }
      if index > start + 1 {
        let marks = parts[start..<index].enumerated().sorted { left, right in
          (left.element.order, left.offset) < (right.element.order, right.offset)
        }
        parts.replaceSubrange(start..<index, with: marks.map(\.element))
      }
      index += 1
    }
  }

  /// Joins characters with the last starter before them, unless one of the same or a higher class is in between.
  private static func composed(_ parts: [Part]) -> [Part] {
    var result: [Part] = []
    var starter: Int?
    var last: UInt8?
    for part in parts {
      if let starter, last.map({ $0 < part.order }) ?? true, let whole = pair(result[starter].scalar, part.scalar) {
        result[starter].scalar = whole
        result[starter].replaced += part.replaced
        continue
      }
      if part.order == 0 {
        starter = result.count
        last = nil
      } else {
        last = part.order
      }
      result.append(part)
    }
    return result
  }

  /// The character that two characters compose to; nil if they do not.
  private static func pair(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
    // Only marks and the later letters of Hangul syllables compose with what is before them.
    guard second.value >= 0x300, isCombiningMark(second) || (0x1100...0x11ff).contains(second.value) else { return nil }
    var string = String.UnicodeScalarView()
    string.append(first)
    string.append(second)
    // Foundation composes a Hangul syllable only from all of its letters.
    let letters = String(string).decomposedStringWithCanonicalMapping
    let composed = letters.precomposedStringWithCanonicalMapping.unicodeScalars
    return composed.count == 1 ? composed.first : nil
  }
}
