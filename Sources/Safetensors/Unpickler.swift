import Platform
import Tensors

/// Reads the part of Python's pickle format that torch's state dicts need, and names what it refuses.
///
/// A pickle is a program for a stack machine that can call any function; this reader calls none.
struct Unpickler {
  private let file: BoundedBytes
  /// The offset in the file of `position` 0: a pickle in a zip entry does not start at 0.
  private let origin: Int
  private(set) var position = 0
  private var stack: [PickleValue] = []
  /// The heights of the stack at which MARKs were set.
  private var marks: [Int] = []
  private var memo: [Int: PickleValue] = [:]
  private(set) var heap = PickleHeap()

  /// Reads pickles from the first byte of `file`; `origin` is added to the bytes that messages name.
  init(_ file: BoundedBytes, origin: Int = 0) {
    self.file = file
    self.origin = origin
  }

  /// Runs one pickle to its STOP and returns its value; the next call reads the following pickle.
  mutating func next() throws -> PickleValue {
    (stack, marks, memo) = ([], [], [:])
    while true {
      let opcode = try byte()
      if opcode == UInt8(ascii: ".") { return try pop() }
      guard try stackOperation(opcode) || constant(opcode) || container(opcode) || object(opcode) else {
        let shown = opcode > 0x20 && opcode < 0x7F ? "'\(Unicode.Scalar(opcode))'" : "\(opcode)"
        throw error("the pickle operation \(shown) is not part of a state dict")
      }
    }
  }

  func error(_ what: String) -> RetortError {
    RetortError(
      .input, "\(what) (byte \(origin + position))", at: file.file,
      remedy: "only plain state dicts are read; save one with torch.save(model.state_dict(), …) or as safetensors")
  }

  // MARK: reading

  private mutating func take(_ count: Int) throws -> UnsafeRawBufferPointer {
    let slice = try file.slice(position, count, "the pickle")
    position += count
    return slice
  }

  private mutating func byte() throws -> UInt8 { try take(1)[0] }

  private mutating func integer<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type) throws -> Value {
    Value(littleEndian: try take(MemoryLayout<Value>.size).loadUnaligned(as: Value.self))
  }

  /// A length of 1, 4 or 8 bytes, followed by that many bytes.
  private mutating func counted<Value: FixedWidthInteger & BitwiseCopyable>(
    by type: Value.Type
  ) throws -> UnsafeRawBufferPointer {
    let length = try integer(type)
    guard let count = Int(exactly: length), count >= 0 else { throw error("a pickle value of \(length) bytes") }
    return try take(count)
  }

  private func text(_ bytes: some Collection<UInt8>) throws -> String {
    guard let text = String(validating: bytes, as: UTF8.self) else { throw error("a string is not UTF-8") }
    return text
  }

  private mutating func line() throws -> String {
    let start = position
    while try byte() != 0x0A {}
    return try text(file.bytes[start..<(position - 1)])
  }

  // MARK: the stack

  private mutating func pop() throws -> PickleValue {
    guard stack.count > marks.last ?? 0, let value = stack.popLast() else { throw error("the pickle's stack is empty") }
    return value
  }

  private func top() throws -> PickleValue {
    guard stack.count > marks.last ?? 0, let value = stack.last else { throw error("the pickle's stack is empty") }
    return value
  }

  private mutating func popToMark() throws -> [PickleValue] {
    guard let mark = marks.popLast() else { throw error("the pickle's mark is missing") }
    let values = Array(stack[mark...])
    stack.removeSubrange(mark...)
    return values
  }

  private mutating func pop(_ count: Int) throws -> [PickleValue] {
    var values: [PickleValue] = []
    for _ in 0..<count { values.append(try pop()) }
    return values.reversed()
  }

  // MARK: operations; each group returns false for operations of other groups

  private mutating func stackOperation(_ opcode: UInt8) throws -> Bool {
    switch opcode {
    case 0x80:
      let version = try byte()
      if version > 5 { throw error("pickle protocol \(version); 5 is the last that is known") }
    case 0x95: _ = try take(8)  // a frame's length
    case UInt8(ascii: "("): marks.append(stack.count)
    case UInt8(ascii: "0"): _ = try pop()
    case UInt8(ascii: "1"): _ = try popToMark()
    case UInt8(ascii: "2"): stack.append(try top())
    case UInt8(ascii: "q"): memo[Int(try byte())] = try top()
    case UInt8(ascii: "r"): memo[Int(try integer(UInt32.self))] = try top()
    case 0x94: memo[memo.count] = try top()
    case UInt8(ascii: "h"): try recall(Int(try byte()))
    case UInt8(ascii: "j"): try recall(Int(try integer(UInt32.self)))
    default: return false
    }
    return true
  }

  private mutating func recall(_ key: Int) throws {
    guard let value = memo[key] else { throw error("the pickle's memo has no entry \(key)") }
    stack.append(value)
  }

  private mutating func constant(_ opcode: UInt8) throws -> Bool {
    switch opcode {
    case UInt8(ascii: "N"): stack.append(.none)
    case 0x88: stack.append(.bool(true))
    case 0x89: stack.append(.bool(false))
    case UInt8(ascii: "K"): stack.append(.int(Int(try byte())))
    case UInt8(ascii: "M"): stack.append(.int(Int(try integer(UInt16.self))))
    case UInt8(ascii: "J"): stack.append(.int(Int(try integer(Int32.self))))
    case 0x8A: stack.append(long(try counted(by: UInt8.self)))
    case 0x8B: stack.append(long(try counted(by: Int32.self)))
    case UInt8(ascii: "G"):
      // The only big-endian number in the format.
      stack.append(.double(Double(bitPattern: UInt64(bigEndian: try take(8).loadUnaligned(as: UInt64.self)))))
    case UInt8(ascii: "X"): stack.append(.string(try text(try counted(by: UInt32.self))))
    case 0x8C: stack.append(.string(try text(try counted(by: UInt8.self))))
    case 0x8D: stack.append(.string(try text(try counted(by: UInt64.self))))
    case UInt8(ascii: "U"): stack.append(.string(try text(try counted(by: UInt8.self))))
    case UInt8(ascii: "T"): stack.append(.string(try text(try counted(by: Int32.self))))
    case UInt8(ascii: "C"): stack.append(.bytes(try counted(by: UInt8.self)))
    case UInt8(ascii: "B"): stack.append(.bytes(try counted(by: UInt32.self)))
    case 0x8E: stack.append(.bytes(try counted(by: UInt64.self)))
    default: return false
    }
    return true
  }

  /// A little-endian two's complement integer of any length.
  private func long(_ bytes: UnsafeRawBufferPointer) -> PickleValue {
    if bytes.count > 8 { return .wideInt(bytes) }
    var value = UInt64(0)
    for (index, byte) in bytes.enumerated() { value |= UInt64(byte) << (8 * UInt64(index)) }
    let unused = UInt64(64 - 8 * bytes.count)
    return .int(unused == 64 ? 0 : Int(Int64(bitPattern: value << unused) >> Int64(unused)))
  }

  private mutating func container(_ opcode: UInt8) throws -> Bool {
    switch opcode {
    case UInt8(ascii: ")"): stack.append(heap.tuple([]))
    case 0x85...0x87: stack.append(heap.tuple(try pop(Int(opcode) - 0x84)))
    case UInt8(ascii: "t"): stack.append(heap.tuple(try popToMark()))
    case UInt8(ascii: "]"): stack.append(heap.list([]))
    case UInt8(ascii: "l"): stack.append(heap.list(try popToMark()))
    case UInt8(ascii: "a"): try appendToList([try pop()])
    case UInt8(ascii: "e"): try appendToList(try popToMark())
    case UInt8(ascii: "}"): stack.append(heap.dictionary())
    case UInt8(ascii: "d"):
      let items = try popToMark()
      stack.append(heap.dictionary())
      try setItems(items)
    case UInt8(ascii: "s"): try setItems(try pop(2))
    case UInt8(ascii: "u"): try setItems(try popToMark())
    default: return false
    }
    return true
  }

  private mutating func appendToList(_ values: [PickleValue]) throws {
    if case .opaque = try top() { return }
    guard case .list(let index) = try top() else { throw error("values are appended to \(try top().kind), not a list") }
    heap.sequences[index].append(contentsOf: values)
  }

  private mutating func setItems(_ items: [PickleValue]) throws {
    if case .opaque = try top() { return }
    guard case .dictionary(let index) = try top() else { throw error("items are set in \(try top().kind), not a dict") }
    guard items.count % 2 == 0 else { throw error("a dict item has no value") }
    for item in stride(from: 0, to: items.count, by: 2) {
      heap.dictionaries[index].append((items[item], items[item + 1]))
    }
  }

  private mutating func object(_ opcode: UInt8) throws -> Bool {
    switch opcode {
    case UInt8(ascii: "c"):
      let module = try line()
      stack.append(.global(try global(module, try line())))
    case 0x93:
      let parts = try pop(2)
      guard case .string(let module) = parts[0], case .string(let name) = parts[1] else {
        throw error("a class is named by \(parts[0].kind) and \(parts[1].kind)")
      }
      stack.append(.global(try global(module, name)))
    case UInt8(ascii: "Q"): stack.append(try heap.storage(persistentID: try pop(), error: error))
    case UInt8(ascii: "R"), 0x81:
      let parts = try pop(2)
      guard case .global(let global) = parts[0], let arguments = heap.elements(parts[1]) else {
        throw error("\(parts[0].kind) is called with \(parts[1].kind)")
      }
      stack.append(try heap.build(global, arguments, error: error))
    case UInt8(ascii: "b"):
      // Attributes of a dict or parameter (`_metadata` of a state dict), or contents of ignored values: no tensor needs
      // them.
      _ = try pop()
      _ = try top()
    default: return false
    }
    return true
  }

  private func global(_ module: String, _ name: String) throws -> PickleGlobal {
    guard let global = PickleGlobal(module: module, name: name) else {
      throw error("the pickle imports \(shown("\(module).\(name)")), which is refused: a pickle can run any code")
    }
    return global
  }
}

extension PickleHeap {
  /// The storage that a persistent id `("storage", class, key, device, count[, view])` refers to.
  ///
  /// `view` is None or, in the oldest checkpoints, `(key, offset, count)`.
  fileprivate mutating func storage(persistentID: PickleValue, error: (String) -> RetortError) throws -> PickleValue {
    guard let parts = elements(persistentID), parts.count == 5 || parts.count == 6,
      case .string("storage") = parts[0], case .global(let type) = parts[1],
      case .string(let key) = parts[2], case .int(let count) = parts[4], count >= 0
    else { throw error("a persistent id that is not a storage") }
    if case .foreignStorage(let name, let size) = type {
      foreignStorages[key] = (count, size)
      return .opaque(name)
    }
    guard case .storage(let dtype) = type else { throw error("a persistent id that is not a storage") }
    var view = 0..<count
    if parts.count == 6, let numbers = elements(parts[5]) {
      guard numbers.count == 3, case .int(let offset) = numbers[1], case .int(let length) = numbers[2],
        offset >= 0, length >= 0, offset <= count, length <= count - offset
      else { throw error("a view of storage \(shown(key)) that exceeds its \(count) elements") }
      view = offset..<(offset + length)
    }
    storages.append(Storage(key: key, dtype: dtype, count: count, view: view))
    return .storage(storages.count - 1)
  }

  private mutating func unread(_ type: String, shape: [Int]) -> PickleValue {
    foreign.append((type, shape))
    return .foreign(foreign.count - 1)
  }

  /// The value of a call of one of the known names.
  fileprivate mutating func build(
    _ global: PickleGlobal, _ arguments: [PickleValue], error: (String) -> RetortError
  ) throws -> PickleValue {
    switch global {
    case .orderedDictionary:
      let made = dictionary()
      guard let first = arguments.first else { return made }
      guard arguments.count == 1, case .list(let list) = first else { throw error("an OrderedDict of \(first.kind)") }
      let items = sequences[list].compactMap { elements($0) }
      guard items.count == sequences[list].count, items.allSatisfy({ $0.count == 2 }) else {
        throw error("an OrderedDict of a list that does not hold pairs")
      }
      // Empty the list, so that a hostile file cannot make it be copied many times.
      sequences[list] = []
      dictionaries[dictionaries.count - 1] = items.map { ($0[0], $0[1]) }
      return made
    case .rebuildTensor:
      if arguments.count >= 4, case .opaque(let storage) = arguments[0], let shape = integers(arguments[2]) {
        // Storages of newer types do not name their element type; the tensor does.
        var type = storage
        if arguments.count >= 7, case .global(.opaque(let named)) = arguments[6] { type = named }
        return unread(type, shape: shape)
      }
      guard arguments.count >= 4, case .storage(let storage) = arguments[0], case .int(let offset) = arguments[1],
        let shape = integers(arguments[2]), let strides = integers(arguments[3])
      else { throw error("a tensor that is not (storage, offset, shape, strides) of at most 64 dimensions") }
      tensors.append(Tensor(storage: storage, offset: offset, shape: shape, strides: strides))
      return .tensor(tensors.count - 1)
    case .rebuildParameter:
      switch arguments.first {
      case .tensor, .foreign: return arguments[0]
      default: throw error("a parameter that is not a tensor")
      }
    case .rebuildFromType:
      guard arguments.count >= 3, case .global(let inner) = arguments[0], let own = elements(arguments[2]) else {
        throw error("a tensor with attributes that is not (function, class, arguments, attributes)")
      }
      // Nested calls are refused, since a hostile file could nest them to any depth.
      if case .rebuildFromType = inner { throw error("a tensor with attributes inside another one") }
      return try build(inner, own, error: error)
    case .rebuildForeign(let name): return unread(name, shape: [])
    case .opaque(let name): return .opaque(name)
    case .foreignStorage(let name, _): throw error("a \(name) is made inside the pickle instead of being named")
    case .storage(let dtype):
      throw error("a \(dtype.rawValue) storage is made inside the pickle instead of being named")
    }
  }
}
