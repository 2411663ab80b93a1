import Platform
import Tensors

/// What a restricted pickle can hold. Containers are numbers into `PickleHeap`, so that neither depth nor cycles
/// made up by a hostile file cost stack or leak.
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
    case .tensor: "a tensor"
    }
  }
}

/// The only names that a pickle may import. None of them is executed: they are the words of the format.
enum PickleGlobal {
  case orderedDictionary
  case rebuildTensor
  case rebuildParameter
  case storage(DType)

  init?(module: String, name: String) {
    switch (module, name) {
    case ("collections", "OrderedDict"): self = .orderedDictionary
    case ("torch._utils", "_rebuild_tensor"), ("torch._utils", "_rebuild_tensor_v2"): self = .rebuildTensor
    case ("torch._utils", "_rebuild_parameter"): self = .rebuildParameter
    case ("torch", _):
      guard let dtype = PickleGlobal.storages[name] else { return nil }
      self = .storage(dtype)
    default: return nil
    }
  }

  private static let storages: [String: DType] = [
    "FloatStorage": .float32, "DoubleStorage": .float64, "HalfStorage": .float16, "BFloat16Storage": .bfloat16,
    "LongStorage": .int64, "IntStorage": .int32, "ShortStorage": .int16, "CharStorage": .int8, "ByteStorage": .uint8,
    "BoolStorage": .bool,
  ]
}

/// The arenas that container values point into.
struct PickleHeap {
  /// A run of elements kept outside the pickle, by its key.
  struct Storage {
    var key: String
    var dtype: DType
    /// Elements of the whole storage.
    var count: Int
    /// The part that is seen: all of it but in checkpoints of the oldest torch.
    var view: Range<Int>
  }

  /// A strided view of a storage, all of it in elements.
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

  /// The integers of a tuple or list of at most 64, nil where it holds more or anything else.
  func integers(_ value: PickleValue) -> [Int]? {
    guard let elements = elements(value), elements.count <= 64 else { return nil }
    var integers: [Int] = []
    for case .int(let integer) in elements { integers.append(integer) }
    return integers.count == elements.count ? integers : nil
  }
}
