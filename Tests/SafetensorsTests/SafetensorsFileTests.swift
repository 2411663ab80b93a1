import Platform
import TestSupport
import Testing

@testable import Safetensors

@Suite("A safetensors file")
struct SafetensorsFileTests {
  let folder: Folder

  init() throws { folder = try Folder() }

  func open(_ header: String, data: [UInt8] = []) throws -> SafetensorsFile {
    try SafetensorsFile(folder.file("model.safetensors", safetensors(header, data: data)))
  }

  @Test("gives names in the order of the data, shapes, metadata and floats")
  func reads() throws {
    let file = try open(
      #"{"b":{"dtype":"F32","shape":[2,2],"data_offsets":[4,20]},"__metadata__":{"format":"pt"},"#
        + #""a\u00e9\n":{"shape":[],"data_offsets":[0,4],"dtype":"F32"}}   "#, data: little([7, 1, 2, 3, 4]))
    #expect(file.names == ["a\u{e9}\n", "b"])
    #expect(file.metadata == ["format": "pt"])
    #expect(file.files == [folder["model.safetensors"]])
    #expect(file.contains("b") && !file.contains("c"))
    let b = try file.tensor("b")
    #expect(b.shape == [2, 2] && b.dtype == .float32 && b.count == 4)
    #expect(b.floats() == [1, 2, 3, 4])
    #expect(try file.tensor("a\u{e9}\n").floats() == [7])
    var two: [Float] = [0, 0]
    two.withUnsafeMutableBufferPointer { b.copyFloats(into: $0.baseAddress!, range: 1..<3) }
    #expect(two == [2, 3])
  }

  @Test("converts every element type to floats, at even and odd addresses", arguments: [0, 1, 3])
  func convertsEveryType(shift: Int) throws {
    let cases: [(String, [UInt8], [Float])] = [
      ("F32", little([1.5, -0.25]), [1.5, -0.25]),
      ("F64", little((1.1).bitPattern, (-3.0).bitPattern), [1.1, -3]),
      ("F16", little(UInt16(0x3E00), 0xC000), [1.5, -2]),
      ("BF16", little(UInt16(0x3FC0), 0xC000), [1.5, -2]),
      ("I64", little(Int64(1) << 40, -9), [1_099_511_627_776, -9]),
      ("I32", little(Int32(70000), -1), [70000, -1]),
      ("I16", little(Int16(300), -300), [300, -300]),
      ("I8", little(Int8(5), -5), [5, -5]),
      ("U8", [0, 255], [0, 255]),
      ("BOOL", [0, 2], [0, 1]),
    ]
    for (dtype, bytes, floats) in cases {
      let pad = #""pad":{"dtype":"U8","shape":[\#(shift)],"data_offsets":[0,\#(shift)]}"#
      // The spaces at the end bring the data to a multiple of 8; the pad tensor moves it away again.
      var header =
        "{\(pad),\"x\":{\"dtype\":\"\(dtype)\",\"shape\":[2],\"data_offsets\":[\(shift),\(shift + bytes.count)]}}"
      header += String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
      let file = try open(header, data: [UInt8](repeating: 9, count: shift) + bytes)
      let tensor = try file.tensor("x")
      #expect(Int(bitPattern: tensor.bytes.baseAddress) % 8 == shift)
      #expect(tensor.floats() == floats, "\(dtype) at \(shift)")
    }
  }

  @Test("converts long half-precision tensors at odd addresses in pieces")
  func convertsInPieces() throws {
    let count = 10_001
    let values = (0..<count).map { UInt16(truncatingIfNeeded: 0x3F80 + $0 % 77) }
    var header =
      #"{"p":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"#
      + #""x":{"dtype":"BF16","shape":[\#(count)],"data_offsets":[1,\#(1 + 2 * count)]}}"#
    header += String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
    let file = try open(header, data: [0] + values.flatMap { little($0) })
    let expected = values.map { Float(bitPattern: UInt32($0) << 16) }
    #expect(try file.tensor("x").floats() == expected)
  }

  @Test("keeps a tensor's bytes alive when the file object is gone")
  func tensorOutlivesFile() throws {
    let tensor = try open(#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, data: little([3])).tensor("x")
    #expect(tensor.floats() == [3])
  }

  @Test("may hold no tensors, and tensors of no elements, even of absurd shapes")
  func emptyTensors() throws {
    #expect(try open("{}").names.isEmpty)
    let file = try open(
      #"{"x":{"dtype":"F32","shape":[9000000000000000000,9000000000000000000,0],"data_offsets":[0,0]}}"#)
    #expect(try file.tensor("x").floats() == [])
  }

  @Test("names what it holds when asked for a tensor that it lacks")
  func missingTensor() throws {
    let file = try open(#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, data: little([3]))
    expectRefusal(saying: "model.safetensors", #"no tensor "y""#, #"1 tensors: "x""#) { try file.tensor("y") }
  }
}

@Suite("A hostile safetensors file is refused")
struct HostileSafetensorsTests {
  let folder: Folder

  init() throws { folder = try Folder() }

  func open(_ bytes: [UInt8]) throws -> SafetensorsFile { try SafetensorsFile(folder.file("m.safetensors", bytes)) }

  /// A header with the one entry `"x": {…}`.
  func open(entry: String, data: Int = 0) throws -> SafetensorsFile {
    try open(safetensors("{\"x\":{\(entry)}}", data: [UInt8](repeating: 0, count: data)))
  }

  @Test("when it is missing, empty, or shorter than its first eight bytes")
  func tooShort() throws {
    expectRefusal(saying: "nowhere", "No such file") { try SafetensorsFile(Shared.nowhere + "/m.safetensors") }
    expectRefusal(saying: "m.safetensors", "8 bytes are missing") { try open([]) }
    expectRefusal(saying: "3 bytes are missing", "has 5") { try open([1, 0, 0, 0, 0]) }
  }

  @Test("when its header is longer than the file or than anyone believes")
  func headerLength() throws {
    expectRefusal(saying: "m.safetensors", "90 bytes are missing", "needs 108", "has 18") {
      try open(little(UInt64(100)) + [UInt8](repeating: 0x20, count: 10))
    }
    expectRefusal(saying: "100000001 bytes", "100000000") { try open(little(UInt64(100_000_001))) }
    expectRefusal(saying: "18446744073709551615 bytes") { try open(little(UInt64.max)) }
  }

  @Test("when it is a Git LFS pointer")
  func largeFilePointer() throws {
    expectRefusal(saying: "Git LFS pointer", "git lfs pull") {
      try open(Array("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n".utf8))
    }
  }

  @Test(
    "when its header is not JSON of the right form",
    arguments: [
      ("", "'{' was expected"), ("[]", "'{' was expected"), ("{", "was expected"), ("{}x", "closing brace"),
      (#"{"x":1}"#, "'{' was expected"), (#"{"x"}"#, "':' was expected"), (#"{"x":{},}"#, "dtype"),
      (#"{"x"#, "no end"), (#"{"\q":{}}"#, "escape"), (#"{"\ud800":{}}"#, "surrogate"), (#"{"\u12"#, "no end"),
      (#"{"\u+123":{}}"#, "four hexadecimal"), (#"{"\ud83d\u0041":{}}"#, "surrogate"), ("{\"a\nb\":{}}", "control"),
      (#"{"__metadata__":{"a":1}}"#, "was expected"), (#"{"__metadata__":[]}"#, "was expected"),
      ("{}\u{0}", "closing brace"),
    ])
  func notJSON(header: String, part: String) throws {
    expectRefusal(saying: "m.safetensors", part, "byte") { try open(safetensors(header)) }
  }

  @Test("when its header is not UTF-8")
  func notUTF8() throws {
    let header: [UInt8] = Array("{\"".utf8) + [0xFF, 0xFE] + Array("\":{}}".utf8)
    expectRefusal(saying: "not valid UTF-8") { try open(little(UInt64(header.count)) + header) }
  }

  @Test(
    "when an entry lacks a part, has one twice, or one of the wrong kind",
    arguments: [
      (#""shape":[1],"data_offsets":[0,4]"#, "no dtype"), (#""dtype":"F32","data_offsets":[0,4]"#, "no shape"),
      (#""dtype":"F32","shape":[1]"#, "no data_offsets"), (#""dtype":"F32","dtype":"F32""#, "twice"),
      (#""dtype":"F32","shape":[1],"data_offsets":[0]"#, "1 numbers"),
      (#""dtype":"F32","shape":[1],"data_offsets":[0,4,8]"#, "more than 2"),
      (#""dtype":"F32","color":"red""#, #"unknown key "color""#), (#""dtype":32"#, "was expected"),
      (#""dtype":"F32","shape":[-1],"data_offsets":[0,4]"#, "negative number -1"),
      (#""dtype":"F32","shape":[1.5],"data_offsets":[0,4]"#, "1.5, which is not a whole"),
      (#""dtype":"F32","shape":[1e3],"data_offsets":[0,4]"#, "1e3"), (#""dtype":"F32","shape":["1"]"#, "not a number"),
      (#""dtype":"F32","shape":[01],"data_offsets":[0,4]"#, "01"),
      (#""dtype":"F32","shape":[1],"data_offsets":[-4,0]"#, "negative number -4"),
      (
        #""dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551616]"#,
        "18446744073709551616, which does not fit"
      ),
      (#""dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]"#, "does not fit 64 bits"),
    ])
  func malformedEntry(entry: String, part: String) throws {
    expectRefusal(saying: "m.safetensors", #"tensor "x""#, part) { try open(entry: entry, data: 4) }
  }

  @Test(
    "when a dtype is unknown, for the tensors that have it alone", arguments: ["F8_E4M3", "U16", "C64", "F4", "new"])
  func unknownType(type: String) throws {
    let file = try open(entry: #""dtype":"\#(type)","shape":[4],"data_offsets":[0,4]"#, data: 4)
    #expect(file.names == ["x"] && file.contains("x"))
    #expect(try file.describe("x") == TensorDescription(type: type, shape: [4], byteCount: 4))
    expectRefusal(saying: "m.safetensors", #"tensor "x""#, #"unknown dtype "\#(type)""#, "BF16") {
      try file.tensor("x")
    }
  }

  @Test("when a shape and its bytes disagree, or the shape overflows")
  func shapeAndLength() throws {
    expectRefusal(saying: #"tensor "x""#, "[2, 3]", "24 bytes", "0..<20", "hold 20") {
      try open(entry: #""dtype":"F32","shape":[2,3],"data_offsets":[0,20]"#, data: 20)
    }
    expectRefusal(saying: #"tensor "x""#, "4611686018427387904", "64 bits", "hold 4") {
      try open(entry: #""dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]"#, data: 4)
    }
  }

  @Test("when offsets run backwards, overlap, leave holes or leave the file")
  func offsets() throws {
    expectRefusal(saying: #"tensor "x""#, "starts at data byte 8", "ends before it, at 4") {
      try open(entry: #""dtype":"F32","shape":[1],"data_offsets":[8,4]"#, data: 8)
    }
    func two(_ a: String, _ b: String, data: Int) throws -> SafetensorsFile {
      let entry: (String) -> String = { #"{"dtype":"U8","shape":[4],"data_offsets":\#($0)}"# }
      return try open(
        safetensors("{\"a\":\(entry(a)),\"b\":\(entry(b))}", data: [UInt8](repeating: 0, count: data)))
    }
    expectRefusal(saying: #"tensor "b""#, "data byte 3", #"overlaps tensor "a""#, "ends at 4") {
      try two("[0,4]", "[3,7]", data: 8)
    }
    expectRefusal(saying: #"tensor "b""#, "data byte 6", "end at 4", "2 bytes belong to no tensor") {
      try two("[0,4]", "[6,10]", data: 10)
    }
    expectRefusal(saying: #"tensor "a""#, "data byte 1", "1 bytes belong to no tensor") {
      try two("[1,5]", "[5,9]", data: 9)
    }
    expectRefusal(saying: #"tensor "b""#, "end at data byte 8", "has 11", "3 bytes belong to no tensor") {
      try two("[0,4]", "[4,8]", data: 11)
    }
    expectRefusal(saying: #"tensor "x""#, "9223372036854775807", "hold 9223372036854775807") {
      try open(entry: #""dtype":"U8","shape":[4],"data_offsets":[0,9223372036854775807]"#, data: 4)
    }
  }

  @Test("when its data is cut short: it says how many bytes are missing")
  func truncatedData() throws {
    expectRefusal(saying: "m.safetensors", #"tensor "x""#, "truncated: 3 bytes are missing", "need 8", "has 5") {
      try open(entry: #""dtype":"F32","shape":[2],"data_offsets":[0,8]"#, data: 5)
    }
  }

  @Test("when a name occurs twice, also when one of them is escaped")
  func duplicates() throws {
    let entry = #"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#
    expectRefusal(saying: #"the key "x" occurs twice"#) { try open(safetensors(#"{"x":\#(entry),"x":\#(entry)}"#)) }
    expectRefusal(saying: #"the key "x" occurs twice"#) {
      try open(safetensors(#"{"x":\#(entry),"\u0078":\#(entry)}"#))
    }
    expectRefusal(saying: "occurs twice") { try open(safetensors(#"{"__metadata__":{"a":"1","a":"2"}}"#)) }
  }

  @Test("whatever bytes are changed or cut: never a trap, always an error of kind input")
  func damage() throws {
    let good = safetensors(
      #"{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"#
        + #""b\u00e9":{"dtype":"I64","shape":[1],"data_offsets":[24,32]}}"#, data: [UInt8](repeating: 1, count: 32))
    expectDamageIsHarmless(to: good, count: 2000) { try open($0) }
  }
}
