import Collectives
import Foundation
import Platform
import Testing

@testable import Datasets

@Suite struct TokenCacheTests {
  let scratch: Scratch
  private let labels = LabelSet(names: ["no", "yes"])

  init() throws { scratch = try Scratch() }

  private func open(
    _ path: String, cache: String, _ tokenizer: CountingTokenizer = CountingTokenizer(), vocabulary: Int? = nil,
    types: Int? = nil, limit: Int = CacheDirectory.defaultLimit, pair: Bool = false
  ) throws -> TokenizedDataset {
    let columns = pair ? DatasetColumns(text: "text", textPair: "other") : DatasetColumns(text: "text")
    return try TokenizedDataset.open(
      DatasetSplit(path), task: TaskDescription(kind: .classification, columns: columns), labels: labels, tokenizer: tokenizer,
      options: .init(vocabularySize: vocabulary, tokenTypes: types, cacheDirectory: cache, cacheLimit: limit),
      on: SoloCommunicator())
  }

  private func content(_ data: TokenizedDataset) -> Batch { data.batch(Array(0..<data.count)) }

  private func data(_ rows: Int) throws -> String {
    let lines = (0..<rows).map { "row \($0 * 7919 % 1009)\tb\($0 % 7)\t\($0 % 2)" }
    return try scratch.write("a.tsv", "text\tother\tlabel\n" + lines.joined(separator: "\n"))
  }

  private func permissions(_ path: String) -> mode_t {
    var info = stat()
    return stat(path, &info) == 0 ? info.st_mode & 0o777 : 0
  }

  @Test func `a changed bit anywhere in a token file is found, said, and costs a rebuild and nothing else`() throws {
    let (path, cache) = (try data(300), joinPath(scratch.path, "cache"))
    let whole = try open(path, cache: cache, pair: true)
    let file = joinPath(cache, "tokens/\(whole.digest)/tokens")
    let bytes = [UInt8](try readFile(file))
    var random = SystemRandomNumberGenerator()
    for _ in 0..<128 {
      let bit = Int.random(in: 0..<bytes.count * 8, using: &random)
      var damaged = bytes
      damaged[bit / 8] ^= 1 << (bit % 8)
      try writeFileAtomically(file, Data(damaged))
      let tokenizer = CountingTokenizer()
      let again = try open(path, cache: cache, tokenizer, pair: true)
      #expect(tokenizer.callCount == 300, "bit \(bit)")
      #expect(content(again) == content(whole), "bit \(bit)")
      #expect(again.notes == ["the token cache of \(path) was damaged and is rebuilt"], "bit \(bit)")
      #expect([UInt8](try readFile(file)) == bytes)
    }
  }

  @Test func `a damaged file that a job has mapped keeps its bytes`() throws {
    let (path, cache) = (try data(20), joinPath(scratch.path, "cache"))
    let first = try open(path, cache: cache)
    let before = content(first)
    let file = joinPath(cache, "tokens/\(first.digest)/tokens")
    var damaged = [UInt8](try readFile(file))
    damaged[300] ^= 4
    try writeFileAtomically(file, Data(damaged))
    let mapped = try #require(TokenFile(path: file, key: first.digest))
    _ = try open(path, cache: cache)
    #expect(!mapped.isWhole(part: 0, of: 1))
    #expect(TokenFile(path: file, key: first.digest)?.isWhole(part: 0, of: 1) == true)
    #expect(content(first) == before)
  }

  @Test func `pages are shared out, and each rank finds the damage of its own`() throws {
    let writer = try TokenFileWriter(key: String(repeating: "a", count: 64), path: nil)
    for row in 0..<40 {
      var rows = TokenRows()
      rows.append(tokens: [Int32](repeating: Int32(row), count: 30_000), typeIDs: nil, label: 0, line: row)
      try writer.append(rows)
    }
    let image = try #require(try writer.finish())
    let path = try scratch.write("pages", "")
    var damaged = image
    damaged[TokenFileHeader.byteCount + 2 * TokenFileHeader.pageBytes + 5] ^= 1
    try writeFileAtomically(path, Data(damaged))
    let file = try #require(TokenFile(path: path, key: String(repeating: "a", count: 64)))
    #expect(file.header.pageCount == 5)
    #expect((0..<3).map { file.isWhole(part: $0, of: 3) } == [true, true, false])
    #expect((0..<9).filter { !file.isWhole(part: $0, of: 9) } == [2])
  }

  @Test func `ids and segments that a cached file has are held against each model's tables`() throws {
    let (path, cache) = (try data(10), joinPath(scratch.path, "cache"))
    let data = try open(path, cache: cache, vocabulary: 1_000, types: 2, pair: true)
    let largest = (0..<data.count).compactMap { data.tokens($0).max() }.max()
    #expect(
      refusal { _ = try open(path, cache: cache, vocabulary: largest.map(Int.init), pair: true) }?.kind == .input)
    let error = try #require(refusal { _ = try open(path, cache: cache, types: 1, pair: true) })
    #expect(error.kind == .input && error.what.contains("type_vocab_size"))
  }

  @Test func `a batch whose numbers are outside a model's tables is refused`() throws {
    let bounds = Batch.Bounds(vocabulary: 10, tokenTypes: 2, positions: 4, classes: 3)
    func batch(_ ids: [Int32], _ types: [Int32]? = nil, label: Int32 = 0) throws -> Batch {
      try TokenizedDataset(examples: [TokenizedExample(ids: ids, typeIDs: types, label: label)]).batch([0])
    }
    try batch([0, 9], [0, 1], label: 2).requireWithin(bounds)
    try batch([0], label: -1).requireWithin(bounds)
    #expect(refusal { try batch([10]).requireWithin(bounds) }?.what.contains("token id 10") == true)
    #expect(refusal { try batch([1], [2]).requireWithin(bounds) }?.what.contains("segment 2") == true)
    #expect(refusal { try batch([1, 1, 1, 1, 1]).requireWithin(bounds) }?.what.contains("position 4") == true)
    #expect(refusal { try batch([1], label: 3).requireWithin(bounds) }?.what.contains("class 3") == true)
    #expect(refusal { try batch([1], label: -2).requireWithin(bounds) }?.what.contains("class -2") == true)
    try batch([1], label: 7).requireWithin(bounds.ofInputs)
  }

  @Test func `what is kept is the user's alone, and wider rights of earlier runs are taken away`() throws {
    let (path, cache) = (try data(5), joinPath(scratch.path, "cache"))
    for round in 0..<2 {
      let data = try open(path, cache: cache)
      let folder = joinPath(cache, "tokens/\(data.digest)")
      #expect([cache, joinPath(cache, "tokens"), folder].map(permissions) == [0o700, 0o700, 0o700], "round \(round)")
      #expect(try listDirectory(folder).map { permissions(joinPath(folder, $0)) } == [0o600, 0o600, 0o600])
      // As an earlier version left it.
      for directory in [cache, joinPath(cache, "tokens"), folder] { chmod(directory, 0o755) }
      for name in try listDirectory(folder) { chmod(joinPath(folder, name), 0o644) }
    }
  }

  @Test func `a cache directory that everybody may write to is not used, and one with other things keeps its rights`()
    throws
  {
    let path = try data(5)
    let shared = joinPath(scratch.path, "shared")
    try makeDirectory(shared)
    chmod(shared, 0o1777)
    let data = try open(path, cache: shared)
    #expect(try listDirectory(shared) == [])
    #expect(data.notes.first?.contains("everybody may write") == true)
    let home = joinPath(scratch.path, "home")
    try makeDirectory(joinPath(home, "photos"))
    chmod(home, 0o755)
    _ = try open(path, cache: home)
    #expect(permissions(home) == 0o755 && permissions(joinPath(home, "tokens")) == 0o700)
  }

  @Test func `the limit covers token files, and one above it is used and not kept`() throws {
    let cache = joinPath(scratch.path, "cache")
    let first = try open(try scratch.write("b.tsv", "text\tlabel\nab\t1\n"), cache: cache).digest
    let path = try data(200)
    let data = try open(path, cache: cache, limit: 100)
    #expect(data.count == 200 && data.notes.first?.contains("more than cache_limit") == true)
    #expect(!fileExists(joinPath(cache, "tokens/\(data.digest)/tokens")))
    #expect(!fileExists(joinPath(cache, "tokens/\(first)")))
  }

  @Test func `an inventory says what is kept, and clearing leaves what a job holds`() throws {
    let (path, cache) = (try data(5), joinPath(scratch.path, "cache"))
    let held = try open(path, cache: cache)
    let other = try open(try scratch.write("b.tsv", "text\tlabel\nab\t1\n"), cache: cache).digest
    let inventory = CacheInventory(root: cache)
    #expect(Set(inventory.entries.map(\.key)) == [held.digest, other])
    #expect(inventory.entries.first { $0.key == held.digest }?.about == path)
    #expect(inventory.entries.filter(\.isUsed).map(\.key) == [held.digest])
    #expect(inventory.clear([.signals]).entries == 0 && inventory.clear([.tokens], unusedFor: 1e6).entries == 0)
    let cleared = inventory.clear([.tokens])
    #expect(cleared.entries == 1 && cleared.used == 1 && cleared.bytes > 0)
    #expect(try listDirectory(joinPath(cache, "tokens")) == [held.digest])
    #expect(held.label(0) == 0)
  }
}
