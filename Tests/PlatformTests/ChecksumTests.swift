import CKernels
import Foundation
import Platform
import TestSupport
import Testing

@Suite struct ChecksumTests {
  private func checksum(_ text: String) -> UInt32 {
    Array(text.utf8).withUnsafeBytes { Checksum(of: $0).value }
  }

  @Test func `the check value of CRC32C comes out`() {
    #expect(checksum("") == 0)
    #expect(checksum("123456789") == 0xe306_9283)
    // RFC 3720, B.4: 32 bytes of zeros, 32 bytes of ones.
    #expect([UInt8](repeating: 0, count: 32).withUnsafeBytes { Checksum(of: $0).value } == 0x8a91_36aa)
    #expect([UInt8](repeating: 255, count: 32).withUnsafeBytes { Checksum(of: $0).value } == 0x62a8_ab43)
  }

  @Test func `instructions and table agree at every length and start`() {
    let bytes = (0..<300).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 3) }
    bytes.withUnsafeBytes { all in
      for start in 0..<9 {
        for count in 0..<(300 - start) {
          let base = all.baseAddress! + start
          #expect(rtk_crc32c(17, base, count) == rtk_crc32c_table(17, base, count))
        }
      }
    }
  }

  @Test func `pieces add up to the whole, of a file too`() throws {
    let folder = try Shared.temporaryDirectory("checksum")
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = folder + "/file"
    try writeFileAtomically(path, "123456789")
    #expect(try Checksum.ofFile(path).value == 0xe306_9283)
    var parts = Checksum()
    for piece in ["1234", "", "56789"] { Array(piece.utf8).withUnsafeBytes { parts.update($0) } }
    #expect(parts.value == 0xe306_9283)
  }
}
