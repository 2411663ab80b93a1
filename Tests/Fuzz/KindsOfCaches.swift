import Collectives
import Datasets
import Foundation
import Platform
import Teachers
import Tensors
import Tokenizers

extension Kinds {
  private static let key = String(repeating: "0123456789abcdef", count: 4)

  /// What Retort keeps to save time: what is read is what was written, or is made anew.
  static func caches(_ scratch: String) throws -> [Kind] {
    try [
      tokens(joinPath(scratch, "tokens")), signals(joinPath(scratch, "signals")), weights(joinPath(scratch, "weights")),
    ]
  }

  private static func tokens(_ scratch: String) throws -> Kind {
    let data: [(name: String, content: [UInt8])] = [
      ("tokenizer.json", Array(wordPiece.utf8)),
      ("data.tsv", Array("text\tlabel\nthe river\t0\na b 1\t1\nruns\t0\n".utf8)),
    ]
    for file in data { try write(file.content, to: joinPath(scratch, file.name)) }
    func open(_ folder: String) throws -> [[Int32]] {
      let tokens = try TokenizedDataset.open(
        DatasetSplit(joinPath(folder, "data.tsv")), task: TaskDescription(kind: .classification),
        tokenizer: loadTokenizer(fromModelDirectory: folder),
        options: TokenizedDataset.Options(
          maxLength: 16, vocabularySize: 13, tokenTypes: 2, cacheDirectory: joinPath(folder, "cache")),
        on: SoloCommunicator())
      return (0..<tokens.count).map { [tokens.label($0)] + tokens.tokens($0) + tokens.batch([$0]).typeIDs }
    }
    let whole = try open(scratch)
    guard let file = try tree(joinPath(scratch, "cache")).first(where: { $0.name.hasSuffix("/tokens") }) else {
      throw RetortError(.unexpected, "no token cache was made", at: scratch)
    }
    return Kind(
      name: "cache/tokens", seeds: [file.content], beside: data, seal: sealTokens, file: "cache/\(file.name)"
    ) { path, folder in
      let damaged = try readFile(path)
      let read = try open(folder)
      // With right checksums a file is what was written.
      var sealed = Array(damaged)
      sealTokens(&sealed)
      if read != whole, !damaged.elementsEqual(sealed) { throw Wrong("gave other tokens") }
    }
  }

  /// Computes the checksums of a token file anew, as `TokenFileHeader` describes them.
  private static func sealTokens(_ bytes: inout [UInt8]) {
    guard bytes.count >= 192 else { return }
    func word(_ number: Int) -> Int {
      bytes.withUnsafeBytes { Int(truncatingIfNeeded: $0.loadUnaligned(fromByteOffset: 8 * number, as: UInt64.self)) }
    }
    func put(_ value: UInt64, at offset: Int, _ count: Int) {
      for byte in 0..<count { bytes[offset + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte)) }
    }
    // A small file has one page, whose checksum stands at its end.
    let page = bytes.count - 4
    if page > 192 {
      let sum = bytes.withUnsafeBytes { Checksum(of: UnsafeRawBufferPointer(rebasing: $0[192..<page])).value }
      put(UInt64(sum), at: page, 4)
      let table = bytes.withUnsafeBytes { Checksum(of: UnsafeRawBufferPointer(rebasing: $0[page...])).value }
      put(UInt64(table), at: 17 * 8, 8)
    }
    let halves = (0..<23).flatMap { number -> [Int32] in
      let word = word(number)
      return [Int32(truncatingIfNeeded: word), Int32(truncatingIfNeeded: word >> 32)]
    }
    put(halves.withUnsafeBufferPointer { ContentHash.of(tokens: $0, typeIDs: nil) }, at: 23 * 8, 8)
  }

  private static func signals(_ scratch: String) throws -> Kind {
    let values: [[Float]] = [[1, 2, 3], [-0.5, .infinity, 0], [1e-9, 4, 5]]
    func hash(_ number: Int) -> UInt64 { UInt64(number) &* 0x9e37_79b9_7f4a_7c15 }
    func check(_ number: Int) -> UInt64 { ~UInt64(number) }
    let store = SignalStore(root: scratch, key: key, width: 3)
    for (number, value) in values.enumerated() { store.add(hash: hash(number), check: check(number), values: value) }
    store.publish()
    guard let file = try tree(scratch).first(where: { $0.name.hasSuffix(".sig") }) else {
      throw RetortError(.unexpected, "no segment was made", at: scratch)
    }
    return Kind(name: "cache/signals", seeds: [file.content], file: "teachers/\(key)/a.sig") { _, folder in
      let store = SignalStore(root: joinPath(folder, "teachers"), key: key, width: 3)
      for (number, value) in values.enumerated() {
        var read = [Float](repeating: .nan, count: 3)
        guard store.read(hash: hash(number), check: check(number), into: &read) else { continue }
        if read != value { throw Wrong("gave other signals") }
      }
    }
  }

  private static func weights(_ scratch: String) throws -> Kind {
    let count = 4096
    let path = joinPath(scratch, "weights")
    try makeDirectory(scratch)
    _ = try WeightFile.make(path, key: key, bytes: count) { block in
      for index in 0..<count {
        block.address.storeBytes(of: UInt8(truncatingIfNeeded: index), toByteOffset: index, as: UInt8.self)
      }
    }
    return Kind(name: "cache/weights", seeds: [Array(try readFile(path))], file: "weights") { path, _ in
      guard let block = WeightFile.map(path, key: key, bytes: count) else { return }
      for index in 0..<count
      where block.address.load(fromByteOffset: index, as: UInt8.self) != UInt8(truncatingIfNeeded: index) {
        throw Wrong("gave other weights")
      }
    }
  }
}
