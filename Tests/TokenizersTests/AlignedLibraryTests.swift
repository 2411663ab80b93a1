import Foundation
import Platform
import TestSupport
import Testing

@testable import Tokenizers

private let isPossible =
  HuggingFaceLibrary.hasTransformers && Shared.path("data/corpus/wikitext-2") != nil && Shared.path("data/sst2") != nil
  && Shared.path("parity/reference/tokenizers") != nil && Shared.path("data/tokenizers/gpt2") != nil

/// Words and offsets of many kinds of tokenizers, against `transformers`.
@Suite(
  .enabled(
    if: isPossible, "RETORT_PYTHON names no Python with transformers, or the shared material is not beside the checkout"
  ))
struct AlignedLibraryTests {
  /// Numbers of a file, read in order.
  private struct Numbers {
    private let values: [Int32]
    private(set) var index = 0

    init(_ path: String) throws {
      values = try readFile(path).withUnsafeBytes { Array($0.bindMemory(to: Int32.self)) }
    }

    var isAtEnd: Bool { index == values.count }

    mutating func take(_ count: Int) -> [Int32] {
      defer { index += count }
      return Array(values[index..<index + count])
    }

    mutating func count() -> Int { Int(take(1)[0]) }
  }

  @Test func `words and texts have the library's tokens, and each token its word or its characters`() throws {
    let folder = try Shared.temporaryDirectory("aligned")
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let python = try #require(ProcessInfo.processInfo.environment["RETORT_PYTHON"])
    let environment = ProcessInfo.processInfo.environment
    let script = Shared.packageRoot + "/launch/lib/aligned-cases.py"
    let data = (try #require(Shared.path("data")) as NSString).deletingLastPathComponent
    let further = environment["RETORT_TOKENIZERS"].map { $0.split(separator: ":").map(String.init) } ?? []
    let stride = environment["RETORT_TOKENIZER_STRIDE"] ?? "40"
    try #require(try HuggingFaceLibrary.run(python, [script, folder, data, stride] + further) == 0)
    let names = try listDirectory(folder).sorted()
    #expect(names.count >= 15)
    for name in names {
      let directory = joinPath(folder, name)
      let tokenizer = try #require(try loadTokenizer(fromModelDirectory: directory))
      try compareWords(tokenizer, directory)
      try compareTexts(tokenizer, directory)
    }
  }

  private func compareWords(_ tokenizer: any Tokenizer, _ directory: String) throws {
    var answers = try Numbers(joinPath(directory, "words.bin"))
    let cases = try #require(try OrderedJSON(contentsOf: joinPath(directory, "words.json")).array)
    var wrong = 0
    for item in cases {
      let words = try #require(item["words"]?.array).compactMap(\.string)
      let count = answers.count()
      let expected = WordEncoding(
        ids: answers.take(count), typeIDs: answers.take(count), words: answers.take(count))
      let own = tokenizer.encode(words: words, maxLength: item["limit"]?.int, addSpecialTokens: true)
      if own == expected { continue }
      wrong += 1
      if wrong < 4 { Issue.record("\(directory): \(words) \(item["limit"]?.int ?? 0): \(own) for \(expected)") }
    }
    #expect(answers.isAtEnd && cases.count > 700)
    #expect(wrong == 0, "\(directory): \(wrong) of \(cases.count)")
  }

  private func compareTexts(_ tokenizer: any Tokenizer, _ directory: String) throws {
    var answers = try Numbers(joinPath(directory, "texts.bin"))
    let cases = try #require(try OrderedJSON(contentsOf: joinPath(directory, "texts.json")).array)
    var wrong = 0
    for item in cases {
      let text = try #require(item["texts"]?.string)
      let count = answers.count()
      let (ids, types) = (answers.take(count), answers.take(count))
      let offsets = zip(answers.take(count), answers.take(count)).map { Int($0)..<Int($1) }
      let own = tokenizer.encode(aligned: text, maxLength: item["limit"]?.int)
      if own == AlignedEncoding(ids: ids, typeIDs: types, offsets: offsets) { continue }
      wrong += 1
      if wrong > 3 { continue }
      let place = zip(own.offsets, offsets).enumerated().first { $1.0 != $1.1 }?.offset ?? 0
      let first = max(0, place - 3)
      Issue.record(
        """
        \(directory): \(text.prefix(300).debugDescription): token \(place), \(own.ids.dropFirst(first).prefix(8)) \
        \(own.offsets.dropFirst(first).prefix(8)) for \(ids.dropFirst(first).prefix(8)) \
        \(offsets.dropFirst(first).prefix(8))
        """)
    }
    #expect(answers.isAtEnd && cases.count > 400)
    #expect(wrong == 0, "\(directory): \(wrong) of \(cases.count)")
  }
}
