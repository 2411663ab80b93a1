import Platform
import Tensors

/// A value of a restricted pickle. Containers are indices into `PickleHeap`, so that deep or cyclic structures in a
/// hostile file neither use stack nor leak.
enum PickleValue {
  case none
  case bool(Bool)
  case int(Int)
  /// An integer of more than 64 bits, as its little-endian bytes.
  case wideInt(UnsafeRawBufferPointer)
  case double(Double)
  case string(String)
  case bytes(UnsafeRawBufferPointer)
  case tuple(Int)
  case list(Int)
  case dictionary(Int)
  case global(PickleGlobal)
  case storage(Int)
  case tensor(Int)
  /// A tensor whose type or layout Retort does not read.
  case foreign(Int)
  /// A value on which no tensor depends, with the name of its class.
  case opaque(String)

  /// The kind, for messages.
  var kind: String {
    switch self {
    case .none: "None"
    case .bool: "a bool"
    case .int, .wideInt: "an integer"
    case .double: "a float"
    case .string: "a string"
    case .bytes: "bytes"
    case .tuple: "a tuple"
    case .list: "a list"
    case .dictionary: "a dict"
    case .global: "a class"
    case .storage: "a storage"
    case .tensor, .foreign: "a tensor"
    case .opaque(let name): "a \(name)"
    }
  }
}

/// The only names that a pickle may import. None of them is executed.
enum PickleGlobal {
  case orderedDictionary
  case rebuildTensor
  case rebuildParameter
  /// A tensor with attributes: its function, class, arguments and attributes.
  case rebuildFromType
  /// A tensor whose layout Retort does not read: sparse, quantised, without data.
  case rebuildForeign(String)
  case storage(DType)
  /// A storage whose element type Retort does not read, with the bytes of an element.
  case foreignStorage(String, size: Int)
  /// A class or constant whose values are saved beside tensors; Retort ignores them.
  case opaque(String)

  init?(module: String, name: String) {
    switch (module, name) {
    case ("collections", "OrderedDict"): self = .orderedDictionary
    case ("torch._utils", "_rebuild_tensor"), ("torch._utils", "_rebuild_tensor_v2"),
      ("torch._utils", "_rebuild_tensor_v3"):
      self = .rebuildTensor
    case ("torch._utils", "_rebuild_parameter"), ("torch._utils", "_rebuild_parameter_with_state"):
      self = .rebuildParameter
    case ("torch._tensor", "_rebuild_from_type_v2"): self = .rebuildFromType
    case ("torch._utils", _) where PickleGlobal.foreignTensors.contains(name): self = .rebuildForeign(name)
    case ("torch", _), ("torch.storage", _):
      if let dtype = PickleGlobal.storages[name] {
        self = .storage(dtype)
      } else if let size = PickleGlobal.foreignStorages[name],
        (name == "UntypedStorage") == (module == "torch.storage")
      {
        self = .foreignStorage(name, size: size)
      } else if module == "torch", PickleGlobal.isConstant(name) {
        self = .opaque(name)
      } else {
        return nil
      }
    default:
      guard PickleGlobal.classes.contains("\(module).\(name)") else { return nil }
      self = .opaque(name)
    }
  }

  /// Classes of values that state dicts have as attributes or beside their tensors.
  private static let classes: Set<String> = [
    "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer", "torch.serialization._get_layout",
    "builtins.set", "builtins.frozenset", "__builtin__.set", "__builtin__.frozenset", "collections.defaultdict",
    "builtins.list", "builtins.dict", "__builtin__.list", "__builtin__.dict",
    "_codecs.encode", "numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar",
  ]

  /// Whether a name of the module torch is a class without behaviour or a constant: a type, a layout, a format.
  private static func isConstant(_ name: String) -> Bool {
    if ["Size", "device", "Tensor", "strided", "contiguous_format", "preserve_format"].contains(name) { return true }
    return ["float", "bfloat", "int", "uint", "complex", "qint", "quint", "bits", "bool"].contains { prefix in
      name.hasPrefix(prefix) && name.dropFirst(prefix.count).allSatisfy { $0.isNumber || "_abcdefmnuz".contains($0) }
    }
  }

  private static let foreignTensors: Set<String> = [
    "_rebuild_sparse_tensor", "_rebuild_qtensor", "_rebuild_meta_tensor_no_storage", "_rebuild_nested_tensor",
    "_rebuild_sparse_csr_tensor", "_rebuild_wrapper_subclass", "_rebuild_device_tensor_from_numpy",
  ]

  private static let foreignStorages = [
    "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16, "QInt8Storage": 1, "QUInt8Storage": 1, "QInt32Storage": 4,
    "QUInt4x2Storage": 1, "QUInt2x4Storage": 1, "UntypedStorage": 1,
  ]

  private static let storages: [String: DType] = [
    "FloatStorage": .float32, "DoubleStorage": .float64, "HalfStorage": .float16, "BFloat16Storage": .bfloat16,
    "LongStorage": .int64, "IntStorage": .int32, "ShortStorage": .int16, "CharStorage": .int8, "ByteStorage": .uint8,
    "BoolStorage": .bool,
  ]
}

/// The containers to which values refer by index.
struct PickleHeap {
  /// A run of elements stored outside the pickle under a key.
  struct Storage {
    var key: String
    var dtype: DType
    /// The elements of the whole storage.
    var count: Int
    /// The part that tensors use: the whole storage, except in checkpoints of the oldest torch.
    var view: Range<Int>
  }

  /// A strided view of a storage; all numbers count elements.
  struct Tensor {
    var storage: Int
    var offset: Int
    var shape: [Int]
    var strides: [Int]
  }

  /// The elements of tuples and lists.
  var sequences: [[PickleValue]] = []
  var dictionaries: [[(key: PickleValue, value: PickleValue)]] = []
  var storages: [Storage] = []
  var tensors: [Tensor] = []
  /// Type and shape of the tensors that Retort does not read.
  var foreign: [(type: String, shape: [Int])] = []
  /// Elements and bytes per element of the storages that Retort does not read, by their keys.
  var foreignStorages: [String: (count: Int, size: Int)] = [:]

  mutating func tuple(_ values: [PickleValue]) -> PickleValue {
    sequences.append(values)
    return .tuple(sequences.count - 1)
  }

  mutating func list(_ values: [PickleValue]) -> PickleValue {
    sequences.append(values)
    return .list(sequences.count - 1)
  }

  mutating func dictionary() -> PickleValue {
    dictionaries.append([])
    return .dictionary(dictionaries.count - 1)
  }

  /// The elements of a tuple or list, nil for anything else.
  func elements(_ value: PickleValue) -> [PickleValue]? {
    switch value {
    case .tuple(let index), .list(let index): sequences[index]
    default: nil
    }
  }

  /// The pairs of a dict, nil for anything else.
  func pairs(_ value: PickleValue) -> [(key: PickleValue, value: PickleValue)]? {
    if case .dictionary(let index) = value { dictionaries[index] } else { nil }
  }

  /// The last value under a string key of a dict.
  func value(_ key: String, in dictionary: PickleValue) -> PickleValue? {
    pairs(dictionary)?.last { if case .string(key) = $0.key { true } else { false } }?.value
  }

  /// The integers of a tuple or list of at most 64 elements; nil if it holds more elements or other values.
  func integers(_ value: PickleValue) -> [Int]? {
    guard let elements = elements(value), elements.count <= 64 else { return nil }
    var integers: [Int] = []
    for case .int(let integer) in elements { integers.append(integer) }
    return integers.count == elements.count ? integers : nil
  }
}
