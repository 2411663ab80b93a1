import Foundation

/// Small SentencePiece models, and unigram models in tokenizer.json.
enum SentencePieceSeeds {
  private static func little(_ value: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  /// A map of characters that replaces "a" by "b".
  static let map: [UInt8] = {
    var units = [UInt32](repeating: 1 << 31 | 0x55, count: 256)
    units[0] = 0
    units[0x61] = 0x61 | 1 << 8 | 0xe1 << 10
    units[0x80] = 1 << 31
    return little(4 * 256) + units.flatMap(little) + [0x62, 0]
  }()

  /// A field of protobuf's wire format with fewer than 2¹⁴ bytes.
  private static func field(_ index: UInt8, _ value: [UInt8]) -> [UInt8] {
    [index << 3 | 2, UInt8(value.count & 127) | 128, UInt8(value.count >> 7)] + value
  }

  private static let pieces: [(String, Float, UInt8)] = [
    ("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), ("▁", -4, 1), ("b", -3, 1), ("r", -3, 1), ("br", -1, 1),
    ("▁b", -2, 1), ("<0xC3>", 0, 6), ("1", 0, 4),
  ]

  /// A model file; `type` 1 is unigram, 2 byte pair encoding.
  static func model(type: UInt8) -> [UInt8] {
    let list = pieces.flatMap { text, score, kind in
      field(1, field(1, Array(text.utf8)) + [2 << 3 | 5] + little(score.bitPattern) + [3 << 3, kind])
    }
    // byte_fallback is field 35, unk_id field 40.
    let trainer: [UInt8] = [3 << 3, type, 0x98, 0x02, 1, 0xc0, 0x02, 0]
    return list + field(2, trainer) + field(3, field(2, map) + [4 << 3, 1])
  }

  static let unigram =
    #"{"normalizer":{"type":"Sequence","normalizers":[{"type":"Nmt"},{"type":"Precompiled","precompiled_charsmap":""#
    + Data(map).base64EncodedString()
    + #""},{"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "}]},"pre_tokenizer":{"type":"Sequence","#
    + #""pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Metaspace","replacement":"▁","prepend_scheme":"always"}]},"#
    + #""decoder":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always"},"model":{"type":"Unigram","unk_id":0,"#
    + #""byte_fallback":true,"vocab":[["<unk>",0.0],["▁",-4.0],["b",-3.5],["r",-3],["br",-1e-1],["▁b",-2],["1",-9]]}}"#
}
