import Foundation
import Platform
import Testing

@testable import Tokenizers

/// SentencePiece's compiled maps of characters, compiled by the tests themselves.
@Suite struct PrecompiledTests {
  /// Compiles replacements as `CharacterMap` describes the format.
  static func map(_ replacements: [(String, String)]) -> [UInt8] {
    final class Node {
      var children: [UInt8: Node] = [:]
      var value: UInt32?
    }
    let root = Node()
    var text: [UInt8] = []
    for (characters, replacement) in replacements {
      var node = root
      for byte in characters.utf8 {
        let next = node.children[byte] ?? Node()
        node.children[byte] = next
        node = next
      }
      node.value = UInt32(text.count)
      text += Array(replacement.utf8) + [0]
    }
    var units = [UInt32](repeating: 1 << 31 | 0x55, count: 4096)
    units[0] = 0
    var taken: Set<Int> = [0]
    func place(_ node: Node, at position: Int) {
      let labels = node.children.keys.map(Int.init) + [0]
      let base = (1..<3840).first { base in labels.allSatisfy { !taken.contains(base ^ $0) } } ?? 0
      for label in labels { taken.insert(base ^ label) }
      let offset = UInt32(position ^ base)
      units[position] |= offset % 256 == 0 ? (offset >> 8) << 10 | 1 << 9 : offset << 10
      if let value = node.value {
        units[position] |= 1 << 8
        units[base] = 1 << 31 | value
      }
      for (label, child) in node.children {
        units[base ^ Int(label)] = UInt32(label)
        place(child, at: base ^ Int(label))
      }
    }
    place(root, at: 0)
    return little(UInt32(4 * units.count)) + units.flatMap(little) + text
  }

  private static func little(_ value: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  private static let letters = map([
    ("a", "X"), ("a\u{301}", "Y"), ("b\u{301}", "Z"), ("c", ""), ("é", "e"), ("\r\n", "N"), ("\t", " "), ("Ⅷ", "VIII"),
  ])

  private func normal(_ text: String, _ bytes: [UInt8] = letters) throws -> String {
    let normalizer = PrecompiledNormalizer(try CharacterMap(bytes, at: "here"))
    var (text, output): (String, [UInt8]) = (text, [])
    text.withUTF8 { normalizer.normalize($0, into: &output) }
    return String(decoding: output, as: UTF8.self)
  }

  // The expected texts are the library's.
  @Test(arguments: [
    ("a", "X"), ("a\u{301}", "X"), ("b\u{301}", "Z"), ("bb\u{301}c", "bZ"), ("é", "e"), ("e\u{301}", "e\u{301}"),
    ("a\u{301}\u{301}\u{301}", "X\u{301}\u{301}\u{301}"), ("a\r\n\r", "XN\r"), ("\t", " "), ("b\u{301}\u{302}", "Z"),
    ("aa\u{200d}", "XX"), ("b\u{301}\u{302}\u{303}", "b\u{301}\u{302}\u{303}"), ("東Ⅷa", "東VIIIX"), ("", ""),
  ])
  func `short clusters are replaced whole and by the shortest entry`(_ text: String, _ expected: String) throws {
    #expect(try Array(normal(text).utf8) == Array(expected.utf8))
  }

  @Test func `a map that is cut off or points outside of itself is refused`() throws {
    let whole = PrecompiledTests.letters
    for count in [0, 3, 7, 8, 100, 4 + 4 * 4096 - 1] {
      #expect(throws: RetortError.self) { try CharacterMap(Array(whole.prefix(count)), at: "here") }
    }
    // Without its replacements every position points outside.
    #expect(throws: RetortError.self) { try CharacterMap(Array(whole.prefix(4 + 4 * 4096)), at: "here") }
    var far = whole
    far[4 + 3] = 0x7f
    #expect(throws: RetortError.self) { try CharacterMap(far, at: "here") }
    #expect(throws: RetortError.self) { try CharacterMap(whole + [0xff], at: "here") }
    #expect(throws: RetortError.self) { try CharacterMap(base64: "~~~~", at: "here") }
  }

  @Test func `no damage traps`() throws {
    var state: UInt64 = 7
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
    for _ in 0..<300 {
      var bytes = PrecompiledTests.letters
      for _ in 0..<4 { bytes[random(2) == 0 ? random(bytes.count) : 4 + random(1600)] = UInt8(random(256)) }
      guard let map = try? CharacterMap(bytes, at: "here") else { continue }
      let text = Array("aé東b\u{301}\tⅧ\r\ncz".utf8)
      var output: [UInt8] = []
      text.withUnsafeBufferPointer { PrecompiledNormalizer(map).normalize($0, into: &output) }
      #expect(String(validating: output, as: UTF8.self) != nil)
    }
  }

  @Test func `control characters go and white space becomes spaces by the rules called nmt`() {
    var output: [UInt8] = []
    Array("a\u{1}\u{7f}b\t\u{200b}\u{feff}▁é".utf8).withUnsafeBufferPointer {
      NMTNormalizer().normalize($0, into: &output)
    }
    #expect(String(decoding: output, as: UTF8.self) == "ab    é")
  }

  @Test func `a text whose first character is removed has no mark before it where only the first word gets one`() throws
  {
    let sections: [String: JSON] = [
      "normalizer": ["type": "Sequence", "normalizers": [["type": "Lowercase"], ["type": "Nmt"]]],
      "pre_tokenizer": ["type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true],
      "model": [
        "type": "Unigram", "unk_id": 0,
        "vocab": [[.string("<unk>"), 0.0], [.string("▁"), -1.0], [.string("a"), -1.0]],
      ],
    ]
    let tokenizer = try Fixture.tokenizer(["tokenizer.json": JSON.object(sections).text()])
    #expect(tokenizer.plainIDs("A a") == [1, 2, 1, 2] && tokenizer.plainIDs("\u{1}A a") == [2, 1, 2])
  }
}
