import Foundation
import Platform
import Tensors
import Testing

@testable import Safetensors

@Suite("A torch checkpoint")
struct TorchFileTests {
  let folder: Folder

  init() throws { folder = try Folder() }

  func open(_ bytes: [UInt8]) throws -> TorchFile { try TorchFile(folder.file("pytorch_model.bin", bytes)) }

  /// The same tensors in the zip format, in zip64 and in the format before them.
  func everyFormat(_ tensors: [TorchTensor], _ storages: [(String, Int, [UInt8])], nesting: [String] = []) -> [[UInt8]]
  {
    let zipped = storages.map { ($0.0, $0.2) }
    let pickle = Pickle.stateDict(tensors, nesting: nesting)
    return [
      torchZip(pickle, storages: zipped), torchZip(pickle, storages: zipped, zip64: true),
      torchLegacy(Pickle.stateDict(tensors, nesting: nesting, legacy: true), storages: storages),
    ]
  }

  @Test("gives names in the dict's order, parameters, and views of a shared storage")
  func reads() throws {
    let tensors = [
      TorchTensor(name: "z", count: 6, shape: [2, 3], strides: [3, 1], isParameter: true),
      TorchTensor(name: "tail", count: 6, offset: 4, shape: [2], strides: [1]),
      TorchTensor(name: "scalar", key: "7", storage: "LongStorage", count: 1, shape: [], strides: []),
      TorchTensor(name: "none", key: "7", storage: "LongStorage", count: 1, shape: [0, 3], strides: [3, 1]),
    ]
    for bytes in everyFormat(tensors, [("0", 6, little([1, 2, 3, 4, 5, 6])), ("7", 1, little(Int64(-5)))]) {
      let file = try open(bytes)
      #expect(file.names == ["z", "tail", "scalar", "none"])
      #expect(try file.tensor("z").floats() == [1, 2, 3, 4, 5, 6] && file.tensor("z").shape == [2, 3])
      #expect(try file.tensor("tail").floats() == [5, 6])
      #expect(try file.tensor("scalar").floats() == [-5] && file.tensor("scalar").dtype == .int64)
      #expect(try file.tensor("none").floats() == [] && file.tensor("none").shape == [0, 3])
      #expect(file.contains("z") && !file.contains("y") && file.metadata.isEmpty)
    }
  }

  @Test("gathers transposed, sliced and expanded views into row-major order")
  func views() throws {
    let tensors = [
      TorchTensor(name: "transposed", count: 6, shape: [3, 2], strides: [1, 3]),
      TorchTensor(name: "column", count: 6, offset: 1, shape: [2], strides: [3]),
      TorchTensor(name: "expanded", count: 6, offset: 2, shape: [2, 2], strides: [0, 3]),
      TorchTensor(name: "cube", count: 6, shape: [3, 1, 2], strides: [1, 99, 3]),
      TorchTensor(name: "row", count: 6, shape: [1, 6], strides: [0, 1]),
    ]
    for bytes in everyFormat(tensors, [("0", 6, little([1, 2, 3, 4, 5, 6]))]) {
      let file = try open(bytes)
      #expect(try file.tensor("transposed").floats() == [1, 4, 2, 5, 3, 6])
      #expect(try file.tensor("column").floats() == [2, 5])
      #expect(try file.tensor("expanded").floats() == [3, 6, 3, 6])
      #expect(try file.tensor("cube").floats() == [1, 4, 2, 5, 3, 6])
      #expect(try file.tensor("row").floats() == [1, 2, 3, 4, 5, 6])
      // A gathered copy is made once: its bytes live as long as the file.
      #expect(try file.tensor("column").bytes.baseAddress == file.tensor("column").bytes.baseAddress)
    }
  }

  @Test(
    "knows the storage classes of torch",
    arguments: [
      ("FloatStorage", DType.float32), ("DoubleStorage", .float64), ("HalfStorage", .float16),
      ("BFloat16Storage", .bfloat16), ("LongStorage", .int64), ("IntStorage", .int32), ("ShortStorage", .int16),
      ("CharStorage", .int8), ("ByteStorage", .uint8), ("BoolStorage", .bool),
    ])
  func storages(storage: String, dtype: DType) throws {
    let tensors = [TorchTensor(name: "x", storage: storage, count: 2, shape: [2], strides: [1])]
    for bytes in everyFormat(tensors, [("0", 2, [UInt8](repeating: 0, count: 2 * dtype.size))]) {
      let tensor = try open(bytes).tensor("x")
      #expect(tensor.dtype == dtype && tensor.floats() == [0, 0])
    }
  }

  @Test("may hold its state dict under the key state_dict or model", arguments: ["state_dict", "model"])
  func nested(key: String) throws {
    let tensors = [TorchTensor(name: "x", count: 1, shape: [1], strides: [1])]
    for bytes in everyFormat(tensors, [("0", 1, little([4]))], nesting: [key]) {
      #expect(try open(bytes).tensor("x").floats() == [4])
    }
  }

  @Test("of the oldest kind may see its storage through a view")
  func legacyView() throws {
    let tensors = [TorchTensor(name: "x", count: 4, offset: 1, shape: [1], strides: [1], view: (2, 2))]
    let pickle = Pickle.stateDict(tensors, legacy: true)
    #expect(try open(torchLegacy(pickle, storages: [("0", 4, little([1, 2, 3, 4]))])).tensor("x").floats() == [4])
    let outside = Pickle.stateDict(
      [TorchTensor(name: "x", count: 4, offset: 0, shape: [1], strides: [1], view: (3, 2))], legacy: true)
    expectRefusal(saying: "view of storage", "4 elements") { try open(torchLegacy(outside, storages: [])) }
  }

  @Test("may be an OrderedDict made of a list of pairs, as Python 2 wrote it")
  func pairs() throws {
    var pickle = Pickle()
    pickle.global("collections", "OrderedDict")
    pickle.operation("]")
    pickle.operation("]")
    pickle.string("x")
    pickle.operation("a")
    pickle.append(TorchTensor(name: "x", count: 1, shape: [1], strides: [1]), legacy: true)
    pickle.operation("a")
    pickle.operation("a")
    pickle.bytes.append(0x85)
    pickle.operation("R")
    let file = try open(torchLegacy(pickle.stopped(), storages: [("0", 1, little([8]))]))
    #expect(try file.tensor("x").floats() == [8])
  }
}

@Suite("A hostile torch checkpoint is refused")
struct HostileTorchTests {
  let folder: Folder

  init() throws { folder = try Folder() }

  func open(_ bytes: [UInt8]) throws -> TorchFile { try TorchFile(folder.file("m.bin", bytes)) }

  func open(_ tensor: TorchTensor, floats: Int) throws -> TorchFile {
    try open(torchZip(Pickle.stateDict([tensor]), storages: [("0", little([Float](repeating: 0, count: floats)))]))
  }

  @Test(
    "when it asks for anything but tensors, by the name it asks for",
    arguments: [
      ("os", "system"), ("posix", "system"), ("builtins", "eval"), ("torch", "load"), ("torch._utils", "exec"),
      ("torch", "UntypedStorage"), ("argparse", "Namespace"),
    ])
  func globals(module: String, name: String) throws {
    var pickle = Pickle()
    pickle.global(module, name)
    pickle.string("touch /tmp/pwned")
    pickle.bytes.append(0x85)
    pickle.operation("R")
    expectRefusal(saying: "m.bin", "\(module).\(name)", "refused") {
      try open(torchZip(pickle.stopped(), storages: []))
    }
    expectRefusal(saying: "m.bin", "\(module).\(name)", "refused") {
      try open(torchLegacy(pickle.stopped(), storages: []))
    }

    var byStack = Pickle()
    byStack.string(module)
    byStack.string(name)
    byStack.bytes.append(0x93)
    expectRefusal(saying: "\(module).\(name)", "refused") { try open(torchZip(byStack.stopped(), storages: [])) }
  }

  @Test("when it uses operations that no state dict needs")
  func operations() throws {
    for operation in ["i", "o", "P", "I", "\u{2}"] {
      expectRefusal(saying: "m.bin", "pickle operation") {
        try open(torchZip([0x80, 2] + Pickle.ascii(operation + "."), storages: []))
      }
    }
    for bytes in ["0.", "s.", "t.", ")R.", "h\u{1}.", "a.", "(.", "NNb", "]N]s.", "}(Nu.", "Q."] {
      expectRefusal(saying: "m.bin") { try open(torchZip([0x80, 2] + Pickle.ascii(bytes), storages: [])) }
    }
    expectRefusal(saying: "protocol 9") { try open(torchZip([0x80, 9], storages: [])) }
  }

  @Test("when a view leaves its storage, with tensor and figures")
  func views() throws {
    func tensor(_ count: Int, _ offset: Int, _ shape: [Int], _ strides: [Int]) -> TorchTensor {
      TorchTensor(name: "x", count: count, offset: offset, shape: shape, strides: strides)
    }
    expectRefusal(saying: "m.bin", #"tensor "x""#, "[2, 3]", "[3, 1]", "from element 1", "storage of 6") {
      try open(tensor(6, 1, [2, 3], [3, 1]), floats: 6)
    }
    expectRefusal(saying: #"tensor "x""#, "should have 7 elements of 4 bytes", "24 bytes") {
      try open(tensor(7, 0, [7], [1]), floats: 6)
    }
    let absurd = Int.max
    for bad in [
      tensor(6, -1, [1], [1]), tensor(6, 0, [-1], [1]), tensor(6, 0, [2], [-1]), tensor(6, 0, [2], []),
      tensor(6, absurd, [2], [1]), tensor(6, 0, [2], [absurd]), tensor(6, 0, [3, 3], [absurd, absurd]),
      tensor(6, 0, [absurd, absurd], [0, 0]), tensor(absurd, 0, [1], [1]), tensor(-1, 0, [1], [1]),
    ] {
      expectRefusal(saying: "m.bin") { try open(bad, floats: 6) }
    }
    expectRefusal(saying: #"tensor "x""#, "repeats 6 elements", "4000000000 bytes") {
      try open(tensor(6, 0, [1_000_000_000], [0]), floats: 6)
    }
  }

  @Test("when a storage is missing, or the two counts of the old format differ")
  func missingStorage() throws {
    let tensor = TorchTensor(name: "x", key: "5", count: 1, shape: [1], strides: [1])
    expectRefusal(saying: #"tensor "x""#, #"storage "5" is not in the file"#) { try open(tensor, floats: 1) }
    let pickle = Pickle.stateDict([tensor], legacy: true)
    expectRefusal(saying: #"storage "5""#, "2 elements in the file and 1 in the pickle") {
      try open(torchLegacy(pickle, storages: [("5", 2, little([1, 2]))]))
    }
    expectRefusal(saying: #"storage "5""#, "needs 4 bytes") {
      try open(torchLegacy(pickle, storages: [("5", 1, [1])]))
    }
    expectRefusal(saying: "no tensor names") { try open(torchLegacy(pickle, storages: [("6", 1, little([1]))])) }
  }

  @Test("when it is no checkpoint, holds no state dict, or comes from a big-endian machine")
  func otherFiles() throws {
    expectRefusal(saying: "neither a zip archive nor torch's magic number", "0 bytes") { try open([]) }
    expectRefusal(saying: "neither a zip archive") { try open(Array("hello".utf8)) }
    expectRefusal(saying: "Git LFS") { try open(Array("version https://git-lfs.github.com/spec/v1\n".utf8)) }
    expectRefusal(saying: "without data.pkl") { try open(zipArchive([("word/document.xml", [1])])) }
    expectRefusal(saying: "holds a list, a dict") { try open(torchZip([0x80, 2] + Pickle.ascii("]."), storages: [])) }
    expectRefusal(saying: "holds no tensors") { try open(torchZip([0x80, 2] + Pickle.ascii("}."), storages: [])) }
    expectRefusal(saying: "big-endian") { try open(torchLegacy([], storages: [], littleEndian: false)) }
    expectRefusal(saying: "big-endian") {
      try open(zipArchive([("a/data.pkl", [0x80, 2] + Pickle.ascii("}.")), ("a/byteorder", Pickle.ascii("big"))]))
    }
  }

  @Test("when its zip archive is compressed, doubled or cut")
  func zip() throws {
    expectRefusal(saying: #""a/data.pkl" is compressed"#, "method 8") {
      try open(zipArchive([("a/data.pkl", [1])], method: 8))
    }
    expectRefusal(saying: #""a/x" twice"#) { try open(zipArchive([("a/x", [1]), ("a/x", [2])])) }
    expectRefusal(saying: "without its end record", "truncated") { try open(zipArchive([("a/x", [1])]).dropLast()) }
    for prefix in [1, 30, 60] {
      expectRefusal(saying: "m.bin") { try open(Array(zipArchive([("a/x", [1])])[prefix...])) }
    }
  }

  @Test("when it nests a million containers: the stack is not the pickle's")
  func nesting() throws {
    let tuples = [UInt8](repeating: 0x85, count: 1_000_000)
    expectRefusal(saying: "holds a tuple") {
      try open(torchZip([0x80, 2] + Pickle.ascii(")") + tuples + Pickle.ascii("."), storages: []))
    }
    // A list that holds itself.
    expectRefusal(saying: "holds a list") {
      try open(torchZip([0x80, 2] + Pickle.ascii("]q\u{0}h\u{0}a."), storages: []))
    }
  }

  @Test("whatever bytes are changed or cut: never a trap, always an error of kind input")
  func damage() throws {
    let tensors = [
      TorchTensor(name: "a", count: 6, shape: [3, 2], strides: [1, 3], isParameter: true),
      TorchTensor(name: "b", key: "1", storage: "HalfStorage", count: 3, offset: 1, shape: [2], strides: [1]),
    ]
    let (floats, halves) = (little([1, 2, 3, 4, 5, 6]), [UInt8](repeating: 2, count: 6))
    let zipped = [("0", floats), ("1", halves)]
    for good in [
      torchZip(Pickle.stateDict(tensors), storages: zipped),
      torchZip(Pickle.stateDict(tensors), storages: zipped, zip64: true),
      torchLegacy(Pickle.stateDict(tensors, legacy: true), storages: [("0", 6, floats), ("1", 3, halves)]),
    ] {
      expectDamageIsHarmless(to: good, count: 2000) { try open($0) }
    }
  }
}
