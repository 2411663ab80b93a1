import Datasets
import Foundation
import Platform
import Synchronization
import TestSupport
import Tokenizers

/// A folder that is removed when the test lets go of it.
final class Scratch {
  let path: String

  init() throws { path = try Shared.temporaryDirectory("datasets") }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file, with its folders, and returns its path.
  @discardableResult
  func write(_ name: String, _ text: String) throws -> String { try write(name, bytes: Array(text.utf8)) }

  @discardableResult
  func write(_ name: String, bytes: [UInt8]) throws -> String {
    let file = joinPath(path, name)
    try makeDirectory((file as NSString).deletingLastPathComponent)
    try writeFileAtomically(file, Data(bytes))
    return file
  }
}

/// A tokenizer of letters that counts its calls: [1, one id a byte …, 2], a pair behind it as segment 1.
final class CountingTokenizer: Tokenizer {
  private let calls = Mutex(0)
  let leadingToken: Int32? = nil

  func largestTypeID(isPair: Bool) -> Int32 { isPair ? 1 : 0 }

  let digest: String
  let vocabularySize: Int
  /// Added to every id, so that two tokenizers differ in what they make.
  private let shift: Int32

  init(digest: String = "letters", shift: Int32 = 0) {
    self.digest = digest
    self.shift = shift
    vocabularySize = 256 + 3 + Int(shift)
  }

  var callCount: Int { calls.withLock { $0 } }

  func encode(_ text: String, pair: String?, maxLength: Int?, addSpecialTokens: Bool) -> Encoding {
    calls.withLock { $0 += 1 }
    var ids = [1] + text.utf8.map { Int32($0) + 3 + shift } + [2]
    var types = [Int32](repeating: 0, count: ids.count)
    if let pair {
      ids += pair.utf8.map { Int32($0) + 3 + shift } + [2]
      types += [Int32](repeating: 1, count: ids.count - types.count)
    }
    let kept = min(ids.count, maxLength ?? .max)
    return Encoding(ids: Array(ids.prefix(kept)), typeIDs: Array(types.prefix(kept)))
  }

  func encodeNotingCuts(_ text: String, pair: String?, maxLength: Int?) -> (encoding: Encoding, isCut: Bool) {
    let whole = encode(text, pair: pair, maxLength: nil, addSpecialTokens: true)
    let kept = min(whole.ids.count, maxLength ?? .max)
    let encoding = Encoding(ids: Array(whole.ids.prefix(kept)), typeIDs: Array(whole.typeIDs.prefix(kept)))
    return (encoding, kept < whole.ids.count)
  }

  let enclosure = (before: 1, after: 1)

  func enclose(_ ids: [Int32]) -> Encoding {
    Encoding(ids: [1] + ids + [2], typeIDs: [Int32](repeating: 0, count: ids.count + 2))
  }

  func encode(words: [String], maxLength: Int?, addSpecialTokens: Bool) -> WordEncoding {
    calls.withLock { $0 += 1 }
    var ids: [Int32] = [1]
    var indices: [Int32] = [-1]
    for (index, word) in words.enumerated() {
      ids += word.utf8.map { Int32($0) + 3 + shift }
      indices += word.utf8.map { _ in Int32(index) }
    }
    ids.append(2)
    indices.append(-1)
    let kept = min(ids.count, maxLength ?? .max)
    return WordEncoding(
      ids: Array(ids.prefix(kept)), typeIDs: [Int32](repeating: 0, count: kept), words: Array(indices.prefix(kept)))
  }

  func encode(aligned text: String, maxLength: Int?, addSpecialTokens: Bool) -> AlignedEncoding {
    let encoding = encode(text, pair: nil, maxLength: maxLength, addSpecialTokens: addSpecialTokens)
    let offsets =
      [0..<0]
      + text.unicodeScalars.enumerated().flatMap { index, scalar in
        [Range<Int>](repeating: index..<index + 1, count: String(scalar).utf8.count)
      }
    return AlignedEncoding(
      ids: encoding.ids, typeIDs: encoding.typeIDs, offsets: Array((offsets + [0..<0]).prefix(encoding.ids.count)))
  }

  func decode(_ ids: [Int32], skipSpecialTokens: Bool) -> String { "" }
  func tokenID(_ token: String) -> Int32? { nil }
}

/// The error that a call throws, or nil.
func refusal(_ body: () throws -> Void) -> RetortError? {
  do {
    try body()
    return nil
  } catch { return RetortError.wrap(error) }
}

extension RowFile {
  /// Opens one file.
  convenience init(_ path: String, documents: DocumentCut? = nil) throws {
    try self.init(DatasetSplit(path), documents: documents)
  }
}

extension TaskDescription {
  /// Opens one file as this task's files are written.
  func open(_ path: String) throws -> RowFile { try open(DatasetSplit(path)) }
}
