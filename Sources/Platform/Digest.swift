import CCrypto

/// A running SHA-256 over bytes, strings and numbers; equal content gives equal digests on every machine.
package final class Digest {
  private let context: OpaquePointer

  /// Starts an empty digest.
  package init() {
    context = EVP_MD_CTX_new()
    EVP_DigestInit_ex(context, EVP_sha256(), nil)
  }

  deinit { EVP_MD_CTX_free(context) }

  /// Adds bytes without their count: two calls equal one call with the bytes joined.
  package func update(_ bytes: UnsafeRawBufferPointer) {
    if let start = bytes.baseAddress, bytes.count > 0 { EVP_DigestUpdate(context, start, bytes.count) }
  }

  /// Adds a string with its length, so that ("ab", "c") and ("a", "bc") differ.
  package func update(_ text: String) {
    var text = text
    text.withUTF8 { utf8 in
      update(UInt64(utf8.count))
      update(UnsafeRawBufferPointer(utf8))
    }
  }

  /// Adds a number as 8 bytes, little-endian on every machine.
  package func update(_ number: UInt64) {
    withUnsafeBytes(of: number.littleEndian) { update($0) }
  }

  /// The digest as 64 hexadecimal characters. The object cannot be used afterwards.
  package func finish() -> String {
    var out = [UInt8](repeating: 0, count: 32)
    var length: UInt32 = 0
    EVP_DigestFinal_ex(context, &out, &length)
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: out.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  /// The digest of a file's content.
  package static func ofFile(_ path: String) throws -> String {
    let file = try MappedFile(path)
    let digest = Digest()
    for start in stride(from: 0, to: file.bytes.count, by: 1 << 24) {
      let piece = UnsafeRawBufferPointer(rebasing: file.bytes[start..<min(file.bytes.count, start + 1 << 24)])
      digest.update(piece)
      Activity.tick()
      MappedPages.release(piece)
    }
    return digest.finish()
  }

  /// The digest of a list of strings.
  package static func of(_ parts: String...) -> String {
    let digest = Digest()
    parts.forEach(digest.update(_:))
    return digest.finish()
  }
}
