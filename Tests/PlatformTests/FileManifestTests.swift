import Foundation
import Platform
import TestSupport
import Testing

@Suite struct FileManifestTests {
  private func folder() throws -> String { try Shared.temporaryDirectory("manifest") }

  @Test func `what is as it was listed has no fault, everything else has one`() throws {
    let folder = try folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try writeFileAtomically(folder + "/a", "first")
    try writeFileAtomically(folder + "/b", "")
    let manifest = try FileManifest(of: folder, ["a", "b"], facts: ["step": 3])
    try manifest.write(to: folder)
    let read = try FileManifest(readingFrom: folder)
    #expect(read == manifest && read.facts["step"]?.int == 3)
    #expect(read.firstFault(in: folder) == nil)
    try writeFileAtomically(folder + "/a", "fjrst")
    #expect(read.firstFault(in: folder)?.contains("checksum of a") == true)
    try writeFileAtomically(folder + "/a", "firs")
    #expect(read.firstFault(in: folder)?.contains("4 bytes instead of 5") == true)
    try FileManager.default.removeItem(atPath: folder + "/b")
    try writeFileAtomically(folder + "/a", "first")
    #expect(read.firstFault(in: folder) == "b is missing")
  }

  @Test func `no flipped bit of a manifest goes unnoticed`() throws {
    let folder = try folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try writeFileAtomically(folder + "/a", "first")
    let manifest = try FileManifest(of: folder, ["a"], facts: ["plan": "abc", "step": 12])
    try manifest.write(to: folder)
    let path = folder + "/" + FileManifest.fileName
    let whole = try Data(contentsOf: URL(fileURLWithPath: path))
    for bit in 0..<whole.count * 8 {
      var flipped = whole
      flipped[bit / 8] ^= 1 << (bit % 8)
      try flipped.write(to: URL(fileURLWithPath: path))
      // Blanks between tokens may become other blanks: then it says the same.
      if let read = try? FileManifest(readingFrom: folder) { #expect(read == manifest) }
    }
  }

  @Test func `a directory takes its name whole, and one that is dropped leaves nothing`() throws {
    let folder = try folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for text in ["old", "new"] {
      let made = try AtomicDirectory(folder + "/step-1")
      try writeFileAtomically(made.temporary + "/a", text)
      try made.commit(["a"], facts: [:], fence: nil)
    }
    _ = try AtomicDirectory(folder + "/step-2")
    #expect(try listDirectory(folder) == ["step-1"])
    #expect(try readFile(folder + "/step-1/a") == Data("new".utf8))
    try FileManager.default.createDirectory(atPath: folder + "/step-3.1.2.tmp", withIntermediateDirectories: false)
    AtomicDirectory.sweep(folder)
    #expect(try listDirectory(folder) == ["step-1"])
  }

  private final class Closed: WriteFence {
    func requireHeld() throws { throw RetortError(.checkpoint, "another job writes there") }
  }

  @Test func `a process behind its fence gives nothing a name`() throws {
    let folder = try folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    do {
      let made = try AtomicDirectory(folder + "/step-1")
      try writeFileAtomically(made.temporary + "/a", "text")
      #expect(throws: RetortError.self) { try made.commit(["a"], facts: [:], fence: Closed()) }
    }
    #expect(try listDirectory(folder) == [])
  }
}
