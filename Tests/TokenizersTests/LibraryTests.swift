import Foundation
import Platform
import TestSupport
import Testing

@testable import Tokenizers

/// The Python that RETORT_PYTHON names, where it has the library.
enum HuggingFaceLibrary {
  static let isHere = has("tokenizers")
  static let hasTransformers = has("transformers")

  private static func has(_ module: String) -> Bool {
    guard let python = ProcessInfo.processInfo.environment["RETORT_PYTHON"], fileExists(python) else { return false }
    return (try? run(python, ["-c", "import \(module)"])) == 0
  }

  static func run(_ program: String, _ arguments: [String]) throws -> Int32 {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    return process.terminationStatus
  }
}

/// Tokenizers put together at random, and random text of many scripts, against the Hugging Face library itself.
@Suite(.enabled(if: HuggingFaceLibrary.isHere, "RETORT_PYTHON names no Python with tokenizers"))
struct LibraryTests {
  @Test func `random pieces give random text the library's ids, offsets and its text back`() throws {
    let folder = try Shared.temporaryDirectory("library")
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let python = try #require(ProcessInfo.processInfo.environment["RETORT_PYTHON"])
    let script = Shared.packageRoot + "/launch/lib/tokenizer-cases.py"
    try #require(try HuggingFaceLibrary.run(python, [script, folder, "60"]) == 0)
    var compared = 0
    for name in try listDirectory(folder).sorted() {
      let directory = joinPath(folder, name)
      let expected = try JSON(contentsOf: joinPath(directory, "expected.json"))
      let tokenizer = try #require(try loadTokenizer(fromModelDirectory: directory))
      for item in try #require(expected["cases"]?.array) {
        let text = try #require(item["text"]?.string)
        let ids = try #require(item["ids"]?.array).map { Int32($0.int ?? -1) }
        #expect(tokenizer.encode(text).ids == ids, "\(text.debugDescription) by \(expected["pieces"]?.text() ?? "")")
        let places = try #require(item["offsets"]?.array).map { $0.int ?? -1 }
        let offsets = stride(from: 0, to: places.count, by: 2).map { places[$0]..<places[$0 + 1] }
        let aligned = tokenizer.encode(aligned: text)
        #expect(
          aligned.ids == ids && aligned.offsets == offsets,
          "\(text.debugDescription): \(aligned) for \(offsets) by \(expected["pieces"]?.text() ?? "")")
        if let decoded = item["decoded"]?.string {
          let own = tokenizer.decode(ids, skipSpecialTokens: true)
          #expect(Array(own.utf8) == Array(decoded.utf8), "\(ids) by \(expected["pieces"]?.text() ?? "")")
        }
        compared += 1
      }
    }
    #expect(compared >= 2000)
  }
}
