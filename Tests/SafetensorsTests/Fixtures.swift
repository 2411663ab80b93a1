import Foundation
import Platform
import Safetensors
import TestSupport
import Testing

/// An empty directory for one test, removed with it.
final class Folder {
  let path: String

  init() throws { path = try Shared.temporaryDirectory("safetensors") }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// The path of a name in the folder.
  subscript(_ name: String) -> String { path + "/" + name }

  /// Writes bytes under a name and returns the path.
  func file(_ name: String, _ bytes: [UInt8]) throws -> String {
    // Thousands of damaged copies would feel a flush to disk each: Foundation's write makes one, and so do some file
    // systems when an old file is cut and written again.
    unlink(self[name])
    let file = try #require(fopen(self[name], "wb"))
    defer { fclose(file) }
    try #require(fwrite(bytes, 1, bytes.count, file) == bytes.count)
    return self[name]
  }

  func bytes(_ name: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: self[name]))) }

  var names: [String] { get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() } }
}

/// Little-endian bytes of integers and floats.
func little<Value: FixedWidthInteger>(_ values: Value...) -> [UInt8] {
  values.flatMap { value in withUnsafeBytes(of: value.littleEndian) { Array($0) } }
}

func little(_ values: [Float]) -> [UInt8] { values.flatMap { little($0.bitPattern) } }

/// A safetensors file of a header as it is and data as it is.
func safetensors(_ header: String, data: [UInt8] = []) -> [UInt8] {
  little(UInt64(header.utf8.count)) + Array(header.utf8) + data
}

/// Expects that `body` refuses its input with a message that holds all the `parts`.
func expectRefusal<Result>(
  _ kind: RetortError.Kind = .input, saying parts: String..., sourceLocation: SourceLocation = #_sourceLocation,
  from body: () throws -> Result
) {
  do {
    _ = try body()
    Issue.record("nothing was refused", sourceLocation: sourceLocation)
  } catch {
    let error = RetortError.wrap(error)
    #expect(error.kind == kind, "\(error)", sourceLocation: sourceLocation)
    for part in parts {
      #expect(error.description.contains(part), "\(error) does not say \(part)", sourceLocation: sourceLocation)
    }
  }
}

/// Opens damaged copies of a file and expects of each that it is read, or refused as input; a trap ends the tests.
///
/// All the ways to cut it short must be refused; of `count` copies with changed bytes some may still be right.
func expectDamageIsHarmless(
  to good: [UInt8], count: Int, sourceLocation: SourceLocation = #_sourceLocation,
  open: ([UInt8]) throws -> any WeightSource
) {
  var surprises: [String] = []
  func attempt(_ bytes: [UInt8], mayBeRead: Bool, _ what: @autoclosure () -> String) {
    do {
      let source = try open(bytes)
      for name in source.names { _ = try source.tensor(name).floats() }
      if !mayBeRead { surprises.append(what() + " was read") }
    } catch {
      let error = RetortError.wrap(error)
      if error.kind != .input { surprises.append(what() + ": \(error)") }
    }
  }
  attempt(good, mayBeRead: true, "the whole file")
  for length in 0..<good.count { attempt(Array(good[..<length]), mayBeRead: false, "a cut at \(length)") }
  for (number, copy) in damagedCopies(of: good, count: count, seed: 1).enumerated() {
    attempt(copy, mayBeRead: true, "copy \(number)")
  }
  #expect(surprises == [], sourceLocation: sourceLocation)
}

/// Damaged copies of a file: each one is a few random bytes put in random places, the same in every run.
private func damagedCopies(of bytes: [UInt8], count: Int, seed: UInt64) -> some Sequence<[UInt8]> {
  var state = seed
  func random() -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33)
  }
  let tempting: [UInt8] = [0, 1, 0x7F, 0x80, 0xFF, UInt8(ascii: "0"), UInt8(ascii: "9"), UInt8(ascii: "\"")]
  return (0..<count).lazy.map { _ in
    var copy = bytes
    for _ in 0...(random() % 3) {
      copy[random() % copy.count] = random() % 2 == 0 ? tempting[random() % tempting.count] : UInt8(random() & 0xFF)
    }
    return copy
  }
}
