import Foundation
import Platform
import Tensors
import TestSupport
import Testing

@testable import Safetensors

@Suite("The safetensors writer")
struct SafetensorsWriterTests {
  let folder: Folder

  init() throws { folder = try Folder() }

  @Test("writes what the reader reads, converting floats and keeping bytes")
  func roundTrip() throws {
    var writer = try SafetensorsWriter(
      folder["m.safetensors"],
      tensors: [
        TensorDeclaration("odd", .uint8, [3]), TensorDeclaration("f32", .float32, [2, 2]),
        TensorDeclaration("bf16", .bfloat16, [2]), TensorDeclaration("f16", .float16, [2]),
        TensorDeclaration("f64", .float64, [1]), TensorDeclaration("none", .float32, [0, 5]),
        TensorDeclaration("scalar \"\n", .int64, []),
      ])
    try [UInt8](1...3).withUnsafeBytes { try writer.append("odd", bytes: $0) }
    try writer.append("f32", floats: [1, 2, 3, 4])
    try writer.append("bf16", floats: [1.00390625, -2])
    try writer.append("f16", floats: [0.5, 65504])
    try writer.append("f64", floats: [0.1])
    try writer.append("none", floats: [])
    try withUnsafeBytes(of: Int64(-7).littleEndian) { try writer.append("scalar \"\n", bytes: $0) }
    #expect(try writer.finish() == [folder["m.safetensors"]])

    let file = try SafetensorsFile(folder["m.safetensors"])
    #expect(file.names == ["odd", "f32", "bf16", "f16", "f64", "none", "scalar \"\n"])
    #expect(file.metadata == ["format": "pt"])
    #expect(try file.tensor("odd").floats() == [1, 2, 3])
    #expect(try file.tensor("f32").floats() == [1, 2, 3, 4] && file.tensor("f32").shape == [2, 2])
    // 1 + 2^-8 lies between two bfloat16 numbers: the even one is 1.
    #expect(try file.tensor("bf16").floats() == [1, -2])
    #expect(try file.tensor("f16").floats() == [0.5, 65504])
    #expect(try file.tensor("f64").floats() == [0.1])
    #expect(try file.tensor("none").shape == [0, 5])
    #expect(try file.tensor("scalar \"\n").floats() == [-7])
    #expect(try folder.names == ["m.safetensors"])
  }

  @Test("pads the header so that the data starts at a multiple of 8", arguments: 1...9)
  func padding(nameLength: Int) throws {
    let name = String(repeating: "n", count: nameLength)
    var writer = try SafetensorsWriter(folder["m.safetensors"], tensors: [TensorDeclaration(name, .float32, [1])])
    try writer.append(name, floats: [5])
    try writer.finish()
    let bytes = try folder.bytes("m.safetensors")
    #expect(bytes.count % 8 == 4)
    #expect(try SafetensorsFile(folder["m.safetensors"]).tensor(name).floats() == [5])
  }

  @Test("converts long tensors in pieces")
  func longTensor() throws {
    let values = (0..<600_001).map { Float($0 % 256) }
    var writer = try SafetensorsWriter(
      folder["m.safetensors"], tensors: [TensorDeclaration("x", .bfloat16, [values.count])])
    try writer.append("x", floats: values)
    try writer.finish()
    #expect(try SafetensorsFile(folder["m.safetensors"]).tensor("x").floats() == values)
  }

  /// Writes tensors t0, t1, … of the given numbers of floats.
  func write(_ counts: [Int], maxShardBytes: Int?, value: Float = 1) throws -> [String] {
    let names = counts.indices.map { "t\($0)" }
    var writer = try SafetensorsWriter(
      folder["model.safetensors"],
      tensors: zip(names, counts).map { TensorDeclaration($0, .float32, [$1]) }, maxShardBytes: maxShardBytes)
    for (name, count) in zip(names, counts) {
      try writer.append(name, floats: [Float](repeating: value, count: count))
    }
    return try writer.finish()
  }

  @Test("splits into shards by size, writes the index, and gives a tensor that is too large a shard of its own")
  func shards() throws {
    let paths = try write([2, 2, 9, 1, 3], maxShardBytes: 16)
    let shards = (1...3).map { "model-0000\($0)-of-00003.safetensors" }
    #expect(paths == (["model.safetensors.index.json"] + shards).map { folder[$0] })
    #expect(try folder.names == shards + ["model.safetensors.index.json"])
    let index = try JSON(contentsOf: paths[0])
    #expect(index["metadata"]?["total_size"]?.int == 17 * 4)
    #expect(
      index["weight_map"]?.object?.mapValues(\.string)
        == ["t0": shards[0], "t1": shards[0], "t2": shards[1], "t3": shards[2], "t4": shards[2]])
    let source = try openWeights(inModelDirectory: folder.path)
    #expect(source.names == ["t0", "t1", "t2", "t3", "t4"])
    #expect(try source.tensor("t2").floats() == [Float](repeating: 1, count: 9))
    #expect(source.files == paths)
  }

  @Test("writes one file where everything fits a shard")
  func oneShard() throws {
    #expect(try write([2, 2], maxShardBytes: 16) == [folder["model.safetensors"]])
    #expect(try folder.names == ["model.safetensors"])
  }

  @Test("leaves no older weights of the other layout for a reader to find")
  func replacesOtherLayout() throws {
    _ = try write([2, 2], maxShardBytes: nil, value: 1)
    _ = try write([2, 2], maxShardBytes: 8, value: 2)
    #expect(try openWeights(inModelDirectory: folder.path).tensor("t0").floats() == [2, 2])
    _ = try write([2, 2], maxShardBytes: nil, value: 3)
    #expect(try openWeights(inModelDirectory: folder.path).tensor("t0").floats() == [3, 3])
    #expect(try !folder.names.contains("model.safetensors.index.json"))
  }

  @Test("leaves nothing behind when it is dropped before the end")
  func dropped() throws {
    do {
      var writer = try SafetensorsWriter(
        folder["m.safetensors"],
        tensors: [TensorDeclaration("a", .float32, [1]), TensorDeclaration("b", .float32, [1])], maxShardBytes: 4)
      try writer.append("a", floats: [1])
      #expect(try folder.names.count == 2)
    }
    #expect(try folder.names.isEmpty)
  }

  @Test("refuses tensors out of turn, of another size, twice, too many or too few")
  func misuse() throws {
    let path = folder["m.safetensors"]
    let tensors = [TensorDeclaration("a", .float32, [2]), TensorDeclaration("b", .int32, [1])]
    expectRefusal(.unexpected, saying: #"tensor "b""#, #""a" is next"#) {
      var writer = try SafetensorsWriter(path, tensors: tensors)
      try writer.append("b", floats: [1])
    }
    expectRefusal(.unexpected, saying: #"tensor "a""#, "[2], 8 bytes", "12 bytes were given") {
      var writer = try SafetensorsWriter(path, tensors: tensors)
      try writer.append("a", floats: [1, 2, 3])
    }
    expectRefusal(.unexpected, saying: #"tensor "b""#, "declared as I32, floats were given") {
      var writer = try SafetensorsWriter(path, tensors: tensors)
      try writer.append("a", floats: [1, 2])
      try writer.append("b", floats: [1])
    }
    expectRefusal(.unexpected, saying: "1 of 2 tensors were never appended", #""b""#) {
      var writer = try SafetensorsWriter(path, tensors: tensors)
      try writer.append("a", floats: [1, 2])
      try writer.finish()
    }
    expectRefusal(.unexpected, saying: "all 1 declared") {
      var writer = try SafetensorsWriter(path, tensors: [tensors[0]])
      try writer.append("a", floats: [1, 2])
      try writer.append("a", floats: [1, 2])
    }
    expectRefusal(.unexpected, saying: #"tensor "a""#, "twice") {
      _ = try SafetensorsWriter(path, tensors: [tensors[0], tensors[0]])
    }
    expectRefusal(.unexpected, saying: "impossible shape [-1]") {
      _ = try SafetensorsWriter(path, tensors: [TensorDeclaration("a", .float32, [-1])])
    }
    expectRefusal(.checkpoint, saying: "nowhere") {
      _ = try SafetensorsWriter(Shared.nowhere + "/m.safetensors", tensors: tensors)
    }
    #expect(try folder.names.isEmpty)
  }
}
