import Platform
import TestSupport
import Testing

@testable import Safetensors

@Suite("Opening a model directory")
struct OpenWeightsTests {
  let folder: Folder

  init() throws { folder = try Folder() }

  func shard(_ name: String, _ tensor: String, _ value: Float) throws {
    _ = try folder.file(
      name, safetensors(#"{"\#(tensor)":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, data: little([value])))
  }

  func index(_ text: String, _ name: String = "model.safetensors.index.json") throws {
    _ = try folder.file(name, Array(text.utf8))
  }

  @Test("prefers safetensors to torch files, and one file to shards")
  func order() throws {
    let pickle = Pickle.stateDict([TorchTensor(name: "x", count: 1, shape: [1], strides: [1])])
    let value = { try openWeights(inModelDirectory: folder.path).tensor("x").floats() }
    _ = try folder.file("shard.bin", torchZip(pickle, storages: [("0", little([1]))]))
    try index(#"{"weight_map":{"x":"shard.bin"}}"#, "pytorch_model.bin.index.json")
    #expect(try value() == [1])
    _ = try folder.file("pytorch_model.bin", torchZip(pickle, storages: [("0", little([2]))]))
    #expect(try value() == [2])
    try shard("shard.safetensors", "x", 3)
    try index(#"{"weight_map":{"x":"shard.safetensors"}}"#)
    #expect(try value() == [3])
    try shard("model.safetensors", "x", 4)
    #expect(try value() == [4])
  }

  @Test("says what was looked for where there are no weights")
  func nothing() throws {
    expectRefusal(
      saying: folder.path, "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
      "pytorch_model.bin.index.json"
    ) { try openWeights(inModelDirectory: folder.path) }
    expectRefusal(saying: Shared.nowhere, "no such directory") {
      try openWeights(inModelDirectory: Shared.nowhere)
    }
    try shard("m.safetensors", "x", 1)
    expectRefusal(saying: "is a file") { try openWeights(inModelDirectory: folder["m.safetensors"]) }
  }

  @Test("opens every shard, so that a damaged one is found at once")
  func shards() throws {
    try shard("1.safetensors", "a", 1)
    _ = try folder.file("2.safetensors", [1, 2, 3])
    try index(#"{"weight_map":{"b":"2.safetensors","a":"1.safetensors"}}"#)
    expectRefusal(saying: "2.safetensors", "5 bytes are missing") { try openWeights(inModelDirectory: folder.path) }
    try shard("2.safetensors", "b", 2)
    try index(#"{"metadata":{"total_size":8,"by":"us"},"weight_map":{"b":"2.safetensors","a":"1.safetensors"}}"#)
    let source = try openWeights(inModelDirectory: folder.path)
    #expect(source.names == ["a", "b"] && source.contains("b") && !source.contains("c"))
    #expect(source.metadata == ["total_size": "8", "by": "us"])
    #expect(try source.tensor("a").floats() == [1])
    #expect(source.remarks.isEmpty)
    expectRefusal(saying: "index.json", #"no tensor "c""#) { try source.tensor("c") }
  }

  @Test("finds tensors where they are when the index is wrong, and says so")
  func wrongIndex() throws {
    try shard("1.safetensors", "a", 1)
    try shard("2.safetensors", "b", 2)
    try index(#"{"weight_map":{"a":"2.safetensors","b":"2.safetensors","c":"1.safetensors"}}"#)
    let source = try openWeights(inModelDirectory: folder.path)
    #expect(try source.tensor("a").floats() == [1] && source.tensor("b").floats() == [2])
    #expect(source.remarks.count == 1 && source.remarks[0].contains("1 tensors are in a shard other than the index says"))
    expectRefusal(saying: #""c""#, "nor in another shard") { try source.tensor("c") }
    // A tensor that the index forgot; and a shard that is missing, whose tensors all lie elsewhere.
    try index(#"{"metadata":7,"weight_map":{"a":"1.safetensors","d":"2.safetensors"}}"#)
    #expect(try openWeights(inModelDirectory: folder.path).tensor("b").floats() == [2])
    try index(#"{"weight_map":{"a":"gone.safetensors","b":"1.safetensors","c":"2.safetensors"}}"#)
    let moved = try openWeights(inModelDirectory: folder.path)
    #expect(try moved.tensor("a").floats() == [1] && moved.tensor("b").floats() == [2])
  }

  @Test("refuses an index whose shards are missing, lie elsewhere or lack the tensor")
  func damagedIndex() throws {
    let open = { try openWeights(inModelDirectory: folder.path) }
    try index("{}")
    expectRefusal(saying: "index.json", "weight_map") { try open() }
    try index("{")
    expectRefusal(saying: "index.json", "not valid JSON") { try open() }
    try index(#"{"weight_map":{"x":1}}"#)
    expectRefusal(saying: "index.json", #"tensor "x""#, "not a file name") { try open() }
    for name in ["../m.safetensors", "/etc/passwd", "..", ""] {
      try index(#"{"weight_map":{"x":"\#(name)"}}"#)
      expectRefusal(saying: #"tensor "x""#, "not the name of a file beside the index") { try open() }
    }
    try index(#"{"weight_map":{"x":"1.safetensors","y":"2.safetensors"}}"#)
    expectRefusal(saying: "2 of 2 shards are missing", "1.safetensors") { try open() }
    try shard("1.safetensors", "other", 1)
    try shard("2.safetensors", "y", 2)
    let source = try open()
    expectRefusal(saying: "index.json", #""x""#, "1.safetensors", "neither there nor in another shard") { try source.tensor("x") }
    #expect(try source.tensor("y").floats() == [2])
  }
}
