import Platform

/// Removes control characters and turns all kinds of white space into spaces, as SentencePiece's `nmt` rules do.
struct NMTNormalizer: Normalizer {
  func add(to digest: Digest) { digest.update("nmt") }

  func removesStart(of text: UnsafeBufferPointer<UInt8>) -> Bool {
    !text.isEmpty && isRemoved(UTF8Text.scalar(at: 0, in: text).scalar)
  }

  func normalize(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    output.reserveCapacity(output.count + text.count)
    var index = 0
    while index < text.count {
      let (scalar, next) = UTF8Text.scalar(at: index, in: text)
      if isSpace(scalar) {
        output.append(0x20)
      } else if !isRemoved(scalar) {
        output.append(contentsOf: text[index..<next])
      }
      index = next
    }
  }

  func isRemoved(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x01...0x08, 0x0b, 0x0e...0x1f, 0x7f, 0x8f, 0x9f: true
    default: false
    }
  }

  func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x09, 0x0a, 0x0c, 0x0d, 0x1680, 0x200b...0x200f, 0x2028, 0x2029, 0x2581, 0xfeff, 0xfffd: true
    default: false
    }
  }
}
