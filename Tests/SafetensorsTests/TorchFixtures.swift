import Platform

/// A pickle put together operation by operation, as torch writes it (protocol 2).
struct Pickle {
  var bytes: [UInt8] = [0x80, 2]

  static func ascii(_ text: String) -> [UInt8] { Array(text.utf8) }

  mutating func operation(_ character: Character) { bytes += Pickle.ascii(String(character)) }
  mutating func string(_ text: String) {
    bytes += Pickle.ascii("X") + little(UInt32(text.utf8.count)) + Array(text.utf8)
  }
  mutating func global(_ module: String, _ name: String) { bytes += Pickle.ascii("c\(module)\n\(name)\n") }
  mutating func integer(_ value: Int) {
    if let small = UInt8(exactly: value) {
      bytes += [UInt8(ascii: "K"), small]
    } else if let medium = Int32(exactly: value) {
      bytes += Pickle.ascii("J") + little(medium)
    } else {
      bytes += [0x8A, 8] + little(Int64(value))
    }
  }
  mutating func integers(_ values: [Int]) {
    operation("(")
    for value in values { integer(value) }
    operation("t")
  }

  /// The finished pickle.
  func stopped() -> [UInt8] { bytes + Pickle.ascii(".") }
}

/// A tensor as a checkpoint names it.
struct TorchTensor {
  var name: String
  var key = "0"
  var storage = "FloatStorage"
  /// Elements of the storage.
  var count: Int
  var offset = 0
  var shape: [Int]
  var strides: [Int]
  var isParameter = false
  /// The view of the oldest format: (offset, count).
  var view: (Int, Int)?
}

extension Pickle {
  /// A state dict of `tensors`, inside dicts under `nesting` from the outside in, with a `_metadata` attribute.
  static func stateDict(_ tensors: [TorchTensor], nesting: [String] = [], legacy: Bool = false) -> [UInt8] {
    var pickle = Pickle()
    for key in nesting {
      pickle.operation("}")
      pickle.string(key)
    }
    pickle.global("collections", "OrderedDict")
    pickle.operation(")")
    pickle.operation("R")
    pickle.operation("(")
    for tensor in tensors {
      pickle.string(tensor.name)
      pickle.append(tensor, legacy: legacy)
    }
    pickle.operation("u")
    // BUILD with {"_metadata": {}}.
    pickle.operation("}")
    pickle.string("_metadata")
    pickle.operation("}")
    pickle.operation("s")
    pickle.operation("b")
    for _ in nesting { pickle.operation("s") }
    return pickle.stopped()
  }

  /// A tensor as torch rebuilds it from its storage.
  mutating func append(_ tensor: TorchTensor, legacy: Bool) {
    if tensor.isParameter {
      global("torch._utils", "_rebuild_parameter")
      operation("(")
    }
    global("torch._utils", "_rebuild_tensor_v2")
    operation("(")
    operation("(")
    string("storage")
    global("torch", tensor.storage)
    string(tensor.key)
    string("cpu")
    integer(tensor.count)
    if let view = tensor.view {
      operation("(")
      string("view")
      integer(view.0)
      integer(view.1)
      operation("t")
    } else if legacy {
      operation("N")
    }
    operation("t")
    operation("Q")
    integer(tensor.offset)
    integers(tensor.shape)
    integers(tensor.strides)
    bytes.append(0x89)
    global("collections", "OrderedDict")
    operation(")")
    operation("R")
    operation("t")
    operation("R")
    if tensor.isParameter {
      bytes.append(0x88)
      global("collections", "OrderedDict")
      operation(")")
      operation("R")
      operation("t")
      operation("R")
    }
  }
}

/// The zip format: data.pkl, byteorder and a storage for each key.
func torchZip(_ pickle: [UInt8], storages: [(String, [UInt8])], zip64: Bool = false) -> [UInt8] {
  var entries = [("archive/data.pkl", pickle), ("archive/byteorder", Pickle.ascii("little"))]
  entries += storages.map { ("archive/data/" + $0.0, $0.1) }
  return zipArchive(entries, zip64: zip64)
}

/// The format before torch 1.6; `storages` are key, count and bytes.
func torchLegacy(_ pickle: [UInt8], storages: [(String, Int, [UInt8])], littleEndian: Bool = true) -> [UInt8] {
  var out: [UInt8] = [0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E]
  out += [0x80, 2] + Pickle.ascii("M") + little(UInt16(1001)) + Pickle.ascii(".")
  var system = Pickle()
  system.operation("}")
  system.string("little_endian")
  system.bytes.append(littleEndian ? 0x88 : 0x89)
  system.operation("s")
  out += system.stopped() + pickle
  var keys = Pickle()
  keys.operation("]")
  keys.operation("(")
  for (key, _, _) in storages { keys.string(key) }
  keys.operation("e")
  out += keys.stopped()
  for (_, count, bytes) in storages { out += little(Int64(count)) + bytes }
  return out
}

/// A zip archive of stored entries; with `zip64` every size and offset stands in the 64-bit fields.
func zipArchive(_ entries: [(String, [UInt8])], zip64: Bool = false, method: UInt16 = 0) -> [UInt8] {
  var out: [UInt8] = []
  var directory: [UInt8] = []
  let ones = UInt32.max
  for (name, data) in entries {
    let offset = out.count
    let size = UInt32(data.count)
    // The local header has padding of its own, as torch aligns its data.
    out += little(UInt32(0x0403_4b50)) + little(UInt16(20), 0, method, 0, 0) + little(UInt32(0), size, size)
    out += little(UInt16(name.utf8.count), 7) + Array(name.utf8) + little(UInt16(0x4246), 3) + [90, 90, 90] + data

    let wide = little(UInt16(1), 24) + little(UInt64(data.count), UInt64(data.count), UInt64(offset))
    directory += little(UInt32(0x0201_4b50)) + little(UInt16(45), 45, 0, method, 0, 0)
    directory += little(UInt32(0), zip64 ? ones : size, zip64 ? ones : size)
    directory += little(UInt16(name.utf8.count), zip64 ? 28 : 0, 0, 0, 0) + little(UInt32(0))
    directory += little(zip64 ? ones : UInt32(offset)) + Array(name.utf8) + (zip64 ? wide : [])
  }
  let start = out.count
  out += directory
  if zip64 {
    let end = out.count
    out += little(UInt32(0x0606_4b50)) + little(UInt64(44)) + little(UInt16(45), 45) + little(UInt32(0), 0)
    out += little(UInt64(entries.count), UInt64(entries.count), UInt64(directory.count), UInt64(start))
    out += little(UInt32(0x0706_4b50), 0) + little(UInt64(end)) + little(UInt32(1))
  }
  let count = zip64 ? UInt16.max : UInt16(entries.count)
  out += little(UInt32(0x0605_4b50)) + little(UInt16(0), 0, count, count)
  return out + little(zip64 ? ones : UInt32(directory.count), zip64 ? ones : UInt32(start)) + little(UInt16(0))
}
