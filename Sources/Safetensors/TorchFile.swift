import Platform
import Tensors

/// A `pytorch_model.bin`: the state dict of a torch checkpoint, in the zip format of torch 1.6 and later or in the
/// older one. Nothing in it is executed; a pickle that names other functions than those of tensors is refused.
///
///     zip:    archive/data.pkl   archive/data/0   archive/data/1   …
///     legacy: pickle of a magic number | of the protocol | of the system | of the object | of the storage keys |
///             for each key: count, 8 bytes, and the elements
package final class TorchFile: WeightSource {
  private struct Entry {
    var view: PickleHeap.Tensor
    var storage: PickleHeap.Storage
    /// The bytes of the part of the storage that the tensor may use.
    var bytes: UnsafeRawBufferPointer
  }

  private let mapping: MappedFile
  private var entries: [String: Entry] = [:]
  /// Type and shape of the tensors whose type Retort does not read.
  private var foreign: [String: TensorDescription] = [:]
  /// Copies of tensors that are not contiguous; kept, since `bytes` stays valid as long as the file.
  private var gathered: [String: StoredTensor] = [:]

  package private(set) var names: [String] = []
  package var metadata: [String: String] { [:] }
  package var files: [String] { [mapping.path] }

  /// Opens and checks a checkpoint; throws `.input` with file, tensor and numbers.
  ///
  /// The tensors are those of the top-level dict, or of the dict under its key "state_dict", "model_state_dict",
  /// "model" or "module".
  package init(_ path: String) throws {
    mapping = try MappedFile(path)
    let file = BoundedBytes(bytes: mapping.bytes, file: path)
    try file.refuseLargeFilePointer()
    let content = file.starts(with: "PK") ? try TorchFile.zip(file) : try TorchFile.legacy(file)
    let heap = content.heap
    for (key, value) in try TorchFile.stateDictionary(content, path) {
      guard case .string(let name) = key else { continue }
      if case .foreign(let index) = value {
        let (type, shape) = heap.foreign[index]
        let description = TensorDescription(type: type, shape: shape, byteCount: 0)
        if foreign.updateValue(description, forKey: name) == nil, entries[name] == nil { names.append(name) }
      }
      guard case .tensor(let index) = value else { continue }
      let view = heap.tensors[index]
      let storage = heap.storages[view.storage]
      let place = "\(path), tensor \(shown(name))"
      guard let whole = content.storages[storage.key] else {
        throw RetortError(.input, "its storage \(shown(storage.key)) is not in the file", at: place, remedy: fetchAgain)
      }
      let bytes = try TorchFile.visible(storage, of: whole, place)
      try TorchFile.check(view, storage, place)
      let isNew = entries.updateValue(Entry(view: view, storage: storage, bytes: bytes), forKey: name) == nil
      if isNew, foreign[name] == nil {
        names.append(name)
      }
    }
    if names.isEmpty {
      throw RetortError(.input, "holds no tensors", at: path, remedy: "save a state dict: a dict of name to tensor")
    }
  }

  package func contains(_ name: String) -> Bool { entries[name] != nil || foreign[name] != nil }

  package func describe(_ name: String) throws -> TensorDescription {
    if let entry = entries[name] {
      let count = entry.view.shape.contains(0) ? 0 : entry.view.shape.reduce(1, *)
      return TensorDescription(
        type: entry.storage.dtype.rawValue, shape: entry.view.shape, byteCount: count * entry.storage.dtype.size)
    }
    guard let other = foreign[name] else { throw noSuchTensor(name, in: mapping.path, names: names) }
    return other
  }

  package func tensor(_ name: String) throws -> StoredTensor {
    guard let entry = entries[name] else {
      guard let other = foreign[name] else { throw noSuchTensor(name, in: mapping.path, names: names) }
      throw unreadType(other.type, at: "\(mapping.path), tensor \(shown(name))")
    }
    if let copy = gathered[name] { return copy }
    let size = entry.storage.dtype.size
    // `check` has verified that neither the product nor any index overflows.
    let count = entry.view.shape.contains(0) ? 0 : entry.view.shape.reduce(1, *)
    if count == 0 || entry.view.isContiguous {
      let start = count == 0 ? 0 : entry.view.offset * size
      let bytes = UnsafeRawBufferPointer(rebasing: entry.bytes[start..<(start + count * size)])
      return stored(name, entry, bytes, owner: mapping)
    }
    let copy = GatheredBytes(entry.view, elementSize: size, count: count, from: entry.bytes)
    let tensor = stored(name, entry, UnsafeRawBufferPointer(copy.bytes), owner: copy)
    gathered[name] = tensor
    return tensor
  }

  private func stored(
    _ name: String, _ entry: Entry, _ bytes: UnsafeRawBufferPointer, owner: AnyObject
  ) -> StoredTensor {
    StoredTensor(
      name: name, dtype: entry.storage.dtype, shape: entry.view.shape, bytes: bytes, file: mapping.path, owner: owner)
  }
}

extension TorchFile {
  /// The content of either format.
  private struct Content {
    var heap: PickleHeap
    var root: PickleValue
    /// The bytes of each storage by its key.
    var storages: [String: UnsafeRawBufferPointer]
  }

  /// The pairs of the dict that holds the tensors.
  private static func stateDictionary(
    _ content: Content, _ path: String
  ) throws -> [(key: PickleValue, value: PickleValue)] {
    for key in ["state_dict", "model_state_dict", "model", "module"] {
      if let nested = content.heap.value(key, in: content.root), let pairs = content.heap.pairs(nested) { return pairs }
    }
    guard let pairs = content.heap.pairs(content.root) else {
      throw RetortError(
        .input, "holds \(content.root.kind), a dict of name to tensor was expected", at: path,
        remedy: "save it with torch.save(model.state_dict(), …)")
    }
    return pairs
  }

  /// The bytes of `storage` that its tensors may use; throws if the file holds fewer than the pickle declares.
  private static func visible(
    _ storage: PickleHeap.Storage, of whole: UnsafeRawBufferPointer, _ place: String
  ) throws -> UnsafeRawBufferPointer {
    guard let needed = checkedProduct([storage.count], times: storage.dtype.size), needed <= whole.count else {
      throw RetortError(
        .input,
        "its storage \(shown(storage.key)) should have \(storage.count) elements of "
          + "\(storage.dtype.size) bytes, but the file has \(whole.count) bytes of it", at: place, remedy: fetchAgain)
    }
    let size = storage.dtype.size
    return UnsafeRawBufferPointer(rebasing: whole[storage.view.lowerBound * size..<storage.view.upperBound * size])
  }

  /// Checks that a view stays inside its storage.
  private static func check(_ view: PickleHeap.Tensor, _ storage: PickleHeap.Storage, _ place: String) throws {
    let what = "the shape \(view.shape) with strides \(view.strides) from element \(view.offset)"
    let size = storage.dtype.size
    guard view.shape.count == view.strides.count, view.offset >= 0,
      view.shape.allSatisfy({ $0 >= 0 }), view.strides.allSatisfy({ $0 >= 0 }),
      let byteCount = checkedProduct(view.shape, times: size)
    else { throw RetortError(.input, "\(what) is not a valid view", at: place, remedy: fetchAgain) }
    if byteCount == 0 { return }
    guard let last = view.lastElement, last < storage.view.count else {
      throw RetortError(
        .input, "\(what) exceeds its storage of \(storage.view.count) elements", at: place, remedy: fetchAgain)
    }
    // A stride of 0 repeats elements: a small file could request any amount of memory.
    guard byteCount <= max(storage.view.count * size, 1 << 30) else {
      throw RetortError(
        .input, "\(what) repeats \(storage.view.count) elements up to \(byteCount) bytes", at: place,
        remedy: "save the tensor with .contiguous()")
    }
  }

  private static func zip(_ file: BoundedBytes) throws -> Content {
    let archive = try ZipArchive(file)
    guard let pickleName = archive.names.first(where: { $0.hasSuffix("/data.pkl") }),
      let pickle = try archive.data(pickleName)
    else {
      throw RetortError(
        .input, "is a zip archive without data.pkl: not a torch checkpoint", at: file.file,
        remedy: "save it with torch.save(model.state_dict(), …)")
    }
    let prefix = pickleName.dropLast("data.pkl".count)
    if let order = try archive.data(prefix + "byteorder"), !order.starts(with: "little".utf8) {
      throw RetortError(.input, "was written on a big-endian machine", at: file.file, remedy: "save it as safetensors")
    }
    // Messages count bytes from the start of the file, not of the entry.
    let start = UInt(bitPattern: pickle.baseAddress) - UInt(bitPattern: file.bytes.baseAddress)
    var unpickler = Unpickler(BoundedBytes(bytes: pickle, file: file.file), origin: Int(start))
    let root = try unpickler.next()
    var storages: [String: UnsafeRawBufferPointer] = [:]
    for storage in unpickler.heap.storages where storages[storage.key] == nil {
      storages[storage.key] = try archive.data(prefix + "data/" + storage.key)
    }
    return Content(heap: unpickler.heap, root: root, storages: storages)
  }

  private static func legacy(_ file: BoundedBytes) throws -> Content {
    // 0x1950a86a20f9469cfc6c in little-endian order.
    let magic: [UInt8] = [0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
    var unpickler = Unpickler(file)
    guard case .wideInt(let number)? = try? unpickler.next(), number.elementsEqual(magic) else {
      throw RetortError(
        .input, "is not a torch checkpoint: neither a zip archive nor torch's magic number (\(file.count) bytes)",
        at: file.file, remedy: "save it with torch.save or as safetensors")
    }
    guard case .int(1001) = try unpickler.next() else { throw unpickler.error("an unknown version of torch's format") }
    let system = try unpickler.next()
    if case .bool(false)? = unpickler.heap.value("little_endian", in: system) {
      throw RetortError(.input, "was written on a big-endian machine", at: file.file, remedy: "save it as safetensors")
    }
    let root = try unpickler.next()
    let keys = try unpickler.next()
    guard let keys = unpickler.heap.elements(keys) else { throw unpickler.error("the storage keys are no list") }

    var known: [String: PickleHeap.Storage] = [:]
    for storage in unpickler.heap.storages { known[storage.key] = storage }
    var storages: [String: UnsafeRawBufferPointer] = [:]
    var position = unpickler.position
    for key in keys {
      guard case .string(let key) = key,
        let (elements, size) = known[key].map({ ($0.count, $0.dtype.size) }) ?? unpickler.heap.foreignStorages[key]
      else { throw unpickler.error("a storage key that no tensor names") }
      let what = "storage \(shown(key))"
      let count = try file.integer(position, as: Int64.self, what)
      guard count == elements, let bytes = checkedProduct([elements], times: size) else {
        throw RetortError(
          .input, "\(what) has \(count) elements in the file and \(elements) in the pickle", at: file.file,
          remedy: fetchAgain)
      }
      storages[key] = try file.slice(position + 8, bytes, what)
      position += 8 + bytes
    }
    return Content(heap: unpickler.heap, root: root, storages: storages)
  }
}

extension PickleHeap.Tensor {
  /// Whether the elements are in row-major order without gaps.
  var isContiguous: Bool {
    var expected = 1
    for (extent, stride) in zip(shape, strides).reversed() where extent != 1 {
      if stride != expected { return false }
      expected *= extent
    }
    return true
  }

  /// The largest index that a view without zero extents reads; nil if it overflows.
  var lastElement: Int? {
    var last = offset
    for (extent, stride) in zip(shape, strides) {
      let (step, overflow) = (extent - 1).multipliedReportingOverflow(by: stride)
      let (sum, overflowed) = last.addingReportingOverflow(step)
      if overflow || overflowed { return nil }
      last = sum
    }
    return last
  }
}

/// The elements of a strided view, copied into row-major order.
private final class GatheredBytes {
  let bytes: UnsafeMutableRawBufferPointer

  init(_ view: PickleHeap.Tensor, elementSize: Int, count: Int, from source: UnsafeRawBufferPointer) {
    bytes = .allocate(byteCount: count * elementSize, alignment: 64)
    guard let out = bytes.baseAddress, let start = source.baseAddress, let inner = view.shape.last,
      let innerStride = view.strides.last
    else { return }
    // Copies the rows of the last dimension in turn; `index` counts through the dimensions before it.
    var index = [Int](repeating: 0, count: view.shape.count - 1)
    var row = view.offset
    for destination in stride(from: 0, to: count, by: inner) {
      for i in 0..<inner {
        (out + (destination + i) * elementSize).copyMemory(
          from: start + (row + i * innerStride) * elementSize, byteCount: elementSize)
      }
      var dimension = index.count - 1
      while dimension >= 0 {
        index[dimension] += 1
        row += view.strides[dimension]
        if index[dimension] < view.shape[dimension] { break }
        row -= index[dimension] * view.strides[dimension]
        index[dimension] = 0
        dimension -= 1
      }
    }
  }

  deinit { bytes.deallocate() }
}
