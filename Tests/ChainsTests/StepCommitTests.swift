import Foundation
import Platform
import TestSupport
import Testing

@testable import Chains

/// A student that takes the place of another, cut short at each rename.
@Suite struct StepCommitTests {
  /// Lets so many renames happen, then fails as a kill would.
  private final class Fuse: WriteFence {
    var left: Int
    init(_ left: Int) { self.left = left }
    struct Blown: Error {}
    func requireHeld() throws {
      if left == 0 { throw Blown() }
      left -= 1
    }
  }

  private func write(_ files: [String: String], _ folder: String) throws {
    try makeDirectory(folder)
    for (name, text) in files { try writeFileAtomically(joinPath(folder, name), text) }
  }

  private func student(_ name: String, _ tokenizer: String) -> [String: String] {
    ["config.json": "config of \(name)", "model.safetensors": "weights of \(name)", tokenizer: "words of \(name)"]
  }

  private func commit(_ name: String, _ tokenizer: String, in directory: String, _ fence: (any WriteFence)?) throws {
    let commit = StepCommit(directory, fence: fence)
    try commit.prepare()
    try write(student(name, tokenizer), commit.stage)
    _ = try commit.finish(inputs: ["step_id": .string(name)], results: ["value": 1])
  }

  private func files(_ directory: String) -> [String: String] {
    var found: [String: String] = [:]
    for name in (try? listDirectory(directory)) ?? [] where !isDirectory(joinPath(directory, name)) {
      found[name] = (try? readFile(joinPath(directory, name))).map { String(decoding: $0, as: UTF8.self) }
    }
    return found
  }

  @Test func `after a cut at any rename the next start has the old student whole or completes the new one`() throws {
    let (old, new) = (student("old", "vocab.txt"), student("new", "tokenizer.json"))
    var (kept, completed) = (0, 0)
    for cut in 0..<20 {
      let directory = try Shared.temporaryDirectory("commit")
      defer { try? FileManager.default.removeItem(atPath: directory) }
      try commit("old", "vocab.txt", in: directory, nil)
      try write(["notes.md": "mine"], directory)
      let isWhole = (try? commit("new", "tokenizer.json", in: directory, Fuse(cut))) != nil
      // Twice: what completes it may be cut as well.
      for second in [0, 1, 2, 3] where StepCommit.staged(in: directory) != nil {
        _ = try? StepCommit(directory, fence: Fuse(second)).recover()
      }
      let remarks = try StepCommit(directory, fence: nil).recover()
      let manifest = try #require(StepManifest.read(from: directory))
      #expect(manifest.differences(in: directory, companions: []).isEmpty)
      #expect(!fileExists(joinPath(directory, "training/commit")) && !fileExists(joinPath(directory, "training/replaced")))
      var expected = manifest.stepID == "old" ? old : new
      expected["notes.md"] = "mine"
      #expect(files(directory) == expected, "cut \(cut)")
      if manifest.stepID == "old" { kept += 1 } else { completed += 1 }
      #expect(!isWhole || manifest.stepID == "new")
      #expect(remarks == nil || manifest.stepID == "new")
    }
    #expect(kept > 1 && completed > 5)
  }

  @Test func `files that are not the old student's are kept aside, its own are not`() throws {
    let directory = try Shared.temporaryDirectory("commit")
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try commit("old", "vocab.txt", in: directory, nil)
    try write(["config.json": "edited", "pytorch_model.bin": "another's", "README.md": "mine"], directory)
    try commit("new", "vocab.txt", in: directory, nil)
    var expected = student("new", "vocab.txt")
    expected["README.md"] = "mine"
    #expect(files(directory) == expected)
    let folder = joinPath(directory, "training/replaced")
    let time = try #require(try listDirectory(folder).first)
    #expect(files(joinPath(folder, time)) == ["config.json": "edited", "pytorch_model.bin": "another's"])
  }

  @Test func `a finished student that is damaged before it is in its place is dropped`() throws {
    let directory = try Shared.temporaryDirectory("commit")
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try commit("old", "vocab.txt", in: directory, nil)
    try? commit("new", "vocab.txt", in: directory, Fuse(2))
    #expect(StepCommit.staged(in: directory) != nil)
    try write(["model.safetensors": "weights of mew"], joinPath(directory, "training/commit"))
    let remarks = try StepCommit(directory, fence: nil).recover()
    #expect(remarks?.first?.contains("model.safetensors has changed since it was written") == true)
    #expect(files(directory) == student("old", "vocab.txt"))
  }

  @Test func `metrics go with their plan`() throws {
    let directory = try Shared.temporaryDirectory("owner")
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let lines = joinPath(directory, "training/metrics.jsonl")
    func own(_ plan: String) -> OwnerRecord { OwnerRecord(stepID: "s", chain: "c", chainFile: "/c", plan: plan) }
    try makeDirectory(joinPath(directory, "training"))
    // As an earlier version left it, which wrote no owner.json.
    try writeFileAtomically(lines, "of a")
    try own("a").take(directory, committed: "a", fence: nil)
    #expect(try readFile(lines) == Data("of a".utf8))
    try own("b").take(directory, committed: "a", fence: nil)
    #expect(!fileExists(lines))
    try writeFileAtomically(lines, "of b")
    try own("a").take(directory, committed: "a", fence: nil)
    #expect(try readFile(lines) == Data("of a".utf8))
    try own("b").take(directory, committed: "a", fence: nil)
    #expect(try readFile(lines) == Data("of b".utf8))
    OwnerRecord.dropOtherMetrics(in: directory)
    #expect(try listDirectory(joinPath(directory, "training")) == ["metrics.jsonl", "owner.json"])
  }
}
