import Platform

/// The contents of a SentencePiece model file (`tokenizer.model`, `spiece.model`, `sentencepiece.bpe.model`).
struct SentencePieceModel {
  enum Kind: Int {
    case normal = 1
    case unknown, control, userDefined, unused, byte
  }

  struct Piece {
    var text: String
    var score: Double
    var kind = Kind.normal
  }

  let path: String
  private(set) var pieces: [Piece] = []
  /// 1 for unigram, 2 for byte pair encoding, 3 and 4 for words and characters.
  private(set) var type = 1
  private(set) var byteFallback = false
  private(set) var unknownID = 0
  private(set) var beginID = 1
  private(set) var endID = 2
  private(set) var unknownPiece = "<unk>"
  private(set) var beginPiece = "<s>"
  private(set) var endPiece = "</s>"
  /// nil for a model that leaves characters as they are.
  private(set) var characterMap: CharacterMap?
  /// Whether a mark is put before a text.
  private(set) var prependsMark = true
  /// Whether spaces around a text are removed, and runs of spaces become one.
  private(set) var removesExtraSpaces = true
  /// Whether spaces become marks.
  private(set) var escapesSpaces = true

  /// Reads a file; throws `.input` with the place of the first fault.
  init(path: String) throws {
    self.path = path
    let data = try readFile(path)
    try data.withUnsafeBytes { raw in
      let bytes = raw.bindMemory(to: UInt8.self)
      try each(bytes) { number, value in
        switch (number, value) {
        case (1, .bytes(let piece)): pieces.append(try self.piece(piece))
        case (2, .bytes(let trainer)): try readTrainer(trainer)
        case (3, .bytes(let normalizer)): try readNormalizer(normalizer)
        default: break
        }
      }
    }
    guard !pieces.isEmpty else { throw refusal("contains no pieces: it is not a SentencePiece model") }
    guard pieces.indices.contains(unknownID) else {
      throw refusal("the unknown piece has the id \(unknownID), but there are \(pieces.count) pieces")
    }
  }

  func refusal(_ what: String, remedy: String = "download the file again from the model's source") -> RetortError {
    RetortError(.input, what, at: path, remedy: remedy)
  }

  private func each(
    _ bytes: UnsafeBufferPointer<UInt8>, _ visit: (Int, ProtobufReader.Value) throws -> Void
  ) throws {
    var reader = ProtobufReader(bytes)
    do {
      while let (number, value) = try reader.next() { try visit(number, value) }
    } catch let damage as ProtobufReader.Damage {
      throw refusal("is not a SentencePiece model (byte \(damage.position) of a message: \(damage.what))")
    }
  }

  private func text(_ bytes: UnsafeBufferPointer<UInt8>, _ what: String) throws -> String {
    guard let text = String(validating: bytes, as: UTF8.self) else { throw refusal("\(what) is not UTF-8") }
    return text
  }

  private func piece(_ bytes: UnsafeBufferPointer<UInt8>) throws -> Piece {
    let id = pieces.count
    var piece = Piece(text: "", score: 0)
    try each(bytes) { number, value in
      switch (number, value) {
      case (1, .bytes(let text)): piece.text = try self.text(text, "piece \(id)")
      case (2, .fixed32(let bits)):
        piece.score = Double(Float(bitPattern: bits))
        guard piece.score.isFinite else { throw refusal("the score of piece \(id) is not a finite number") }
      case (3, .integer(let number)):
        guard let kind = Int(exactly: number).flatMap(Kind.init) else {
          throw refusal("piece \(id) has the unknown type \(number)")
        }
        piece.kind = kind
      default: break
      }
    }
    return piece
  }

  private mutating func readTrainer(_ bytes: UnsafeBufferPointer<UInt8>) throws {
    // Negative numbers are written as 64 bits.
    func number(_ value: UInt64) -> Int { Int(Int64(bitPattern: value)) }
    try each(bytes) { field, value in
      switch (field, value) {
      case (3, .integer(let value)): type = number(value)
      case (35, .integer(let value)): byteFallback = value != 0
      case (40, .integer(let value)): unknownID = number(value)
      case (41, .integer(let value)): beginID = number(value)
      case (42, .integer(let value)): endID = number(value)
      case (45, .bytes(let value)): unknownPiece = try text(value, "unk_piece")
      case (46, .bytes(let value)): beginPiece = try text(value, "bos_piece")
      case (47, .bytes(let value)): endPiece = try text(value, "eos_piece")
      default: break
      }
    }
  }

  private mutating func readNormalizer(_ bytes: UnsafeBufferPointer<UInt8>) throws {
    try each(bytes) { field, value in
      switch (field, value) {
      case (2, .bytes(let map)):
        characterMap = map.isEmpty ? nil : try CharacterMap(Array(map), at: "\(path), precompiled_charsmap")
      case (3, .integer(let value)): prependsMark = value != 0
      case (4, .integer(let value)): removesExtraSpaces = value != 0
      case (5, .integer(let value)): escapesSpaces = value != 0
      default: break
      }
    }
  }

  // MARK: Vocabulary

  /// Tokens that are found in a text before it is normalised.
  var addedTokens: [AddedToken] {
    pieces.filter { $0.kind == .control || $0.kind == .userDefined }.map {
      AddedToken(id: -1, content: $0.text, isSpecial: $0.kind == .control)
    }
  }

  /// Texts that the model never splits or merges.
  var userDefined: [String] { pieces.filter { $0.kind == .userDefined }.map(\.text) }

  /// The merges that `LlamaTokenizer` uses: all pairs of tokens that make a token, in the order of the ids, and for one
  /// token those with the shorter left part first.
  func merges(_ vocabulary: Vocabulary) -> [(left: String, right: String)] {
    pieces.flatMap { SentencePieceModel.splits($0.text) { vocabulary.id(of: $0) != nil } }
  }

  /// The merges that a generic tokenizer uses: pairs of normal pieces that make a normal piece, by the score of the
  /// piece, then its id, then the parts.
  func mergesByScore(_ names: [String], _ vocabulary: Vocabulary) -> [(left: String, right: String)] {
    func isNormal(_ token: String) -> Bool {
      vocabulary.id(of: token).map { pieces[Int($0)].kind == .normal } ?? false
    }
    let ranked = pieces.indices.filter { pieces[$0].kind == .normal }.sorted {
      (-pieces[$0].score, $0) < (-pieces[$1].score, $1)
    }
    return ranked.flatMap { id in
      SentencePieceModel.splits(names[id], isNormal).sorted { $0.left.utf8.lexicographicallyPrecedes($1.left.utf8) }
    }
  }

  private static func splits(_ token: String, _ isToken: (String) -> Bool) -> [(left: String, right: String)] {
    token.unicodeScalars.indices.dropFirst().compactMap { index in
      let (left, right) = (String(token[..<index]), String(token[index...]))
      return isToken(left) && isToken(right) ? (left, right) : nil
    }
  }
}
