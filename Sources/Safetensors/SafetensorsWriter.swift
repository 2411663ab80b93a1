import Foundation
import Platform
import Tensors

/// The name, element type and shape of a tensor to be written.
package struct TensorDeclaration: Sendable, Equatable {
  /// The name in the file; unique there, and not `__metadata__`.
  package var name: String
  /// The element type in the file.
  package var dtype: DType
  /// The extents, outermost first, of any number; empty for a scalar.
  package var shape: [Int]

  /// Makes a declaration; `SafetensorsWriter.init` refuses impossible and duplicate ones.
  package init(_ name: String, _ dtype: DType, _ shape: [Int]) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
  }

  /// The bytes of the tensor's data; nil on overflow.
  var byteCount: Int? { shape.contains { $0 < 0 } ? nil : checkedProduct(shape, times: dtype.size) }
}

/// Writes tensors to one safetensors file or to shards, in the order of their declarations, without keeping them in
/// memory.
///
/// Readers see the old files or the whole new ones: the files get their names in `finish`, and the index of a sharded
/// model is written last. A writer that is dropped before `finish` removes its files.
package struct SafetensorsWriter: ~Copyable {
  /// A range of declarations in one file.
  private struct Shard {
    let tensors: Range<Int>
    let path: String
    let file: AtomicFile
  }

  private let path: String
  private let declarations: [TensorDeclaration]
  private let shards: [Shard]
  /// The next declaration, and the shard that it belongs to.
  private var next = 0
  private var shard = 0

  /// Creates the files for `tensors`; `append` writes their data.
  ///
  /// - Parameters:
  ///   - path: the file, ending in `.safetensors`. Shards are created beside it: `model-00001-of-00003.safetensors` and
  ///     `model.safetensors.index.json` for `model.safetensors`.
  ///   - metadata: the file's strings; `transformers` refuses files without `format`.
  ///   - maxShardBytes: the most data bytes of a shard (a larger tensor gets its own shard); nil writes one file.
  ///   - spare: an unused file that may become the first one (`AtomicFile`).
  ///   - checking: whether to compute the checksum of a single file, for `entry`.
  ///
  /// Throws `.checkpoint` if a file cannot be created and `.unexpected` for a duplicate name.
  package init(
    _ path: String, tensors: [TensorDeclaration], metadata: [String: String] = ["format": "pt"],
    maxShardBytes: Int? = nil, reusing spare: String? = nil, checking: Bool = false
  ) throws {
    self.path = path
    declarations = tensors
    try SafetensorsWriter.check(tensors, path)
    let runs = SafetensorsWriter.split(tensors, maxShardBytes)
    shards = try runs.enumerated().map { number, run in
      let name = runs.count == 1 ? path : SafetensorsWriter.shardPath(path, number + 1, of: runs.count)
      let file = try AtomicFile(name, reusing: number == 0 ? spare : nil, checking: checking)
      try SafetensorsWriter.header(tensors[run], metadata).withUnsafeBytes { try file.write($0) }
      return Shard(tensors: run, path: name, file: file)
    }
  }

  /// Appends the next tensor and converts its floats to the declared type (F32, BF16, F16 or F64); `name` must be the
  /// next declared name.
  ///
  /// Throws `.checkpoint` if writing fails and `.unexpected` for a tensor out of order or of a different size.
  package mutating func append(_ name: String, floats: UnsafeBufferPointer<Float>) throws {
    let (declaration, file) = try take(name)
    guard [.float32, .bfloat16, .float16, .float64].contains(declaration.dtype) else {
      throw misuse("is declared as \(declaration.dtype.rawValue), floats were given", name)
    }
    let given = floats.count * declaration.dtype.size
    guard given == declaration.byteCount else { throw wrongSize(given, declaration) }
    try withConvertedFloats(floats, to: declaration.dtype) { try file.write($0) }
  }

  /// Appends the next tensor's data unconverted: row-major, little-endian, of the declared type.
  ///
  /// Throws as `append(_:floats:)` does.
  package mutating func append(_ name: String, bytes: UnsafeRawBufferPointer) throws {
    let (declaration, file) = try take(name)
    guard bytes.count == declaration.byteCount else { throw wrongSize(bytes.count, declaration) }
    try file.write(bytes)
  }

  /// Flushes the files and renames them to their final names, the index last; returns the paths written.
  ///
  /// Files of the other layout (one file or shards) with the same name from an earlier run are removed, so that readers
  /// cannot find the old weights. Throws `.checkpoint`, or `.unexpected` if declared tensors are missing.
  ///
  /// - Parameter flushing: false if the caller flushes the files before they are used.
  @discardableResult
  package consuming func finish(flushing: Bool = true) throws -> [String] {
    if next < declarations.count {
      throw misuse(
        "\(declarations.count - next) of \(declarations.count) tensors were never appended, the first is "
          + shown(declarations[next].name))
    }
    let index = path + ".index.json"
    if shards.count == 1 {
      try shards[0].file.commit(flushing: flushing)
      unlink(index)
      return [path]
    }
    // Remove the index first: a half-replaced set of shards is then refused instead of read as a model.
    unlink(index)
    for shard in shards { try shard.file.commit(flushing: flushing) }
    try writeFileAtomically(index, indexJSON().text(indent: 2) + "\n")
    unlink(path)
    return [index] + shards.map(\.path)
  }

  /// The size and checksum of the single file after its last tensor; nil if they are not computed, and for shards.
  package var entry: FileManifest.Entry? { shards.count == 1 ? shards[0].file.entry : nil }

  /// The next declaration, after a check that `name` is its name.
  private mutating func take(_ name: String) throws -> (TensorDeclaration, AtomicFile) {
    guard next < declarations.count else { throw misuse("all \(next) declared tensors are written already", name) }
    let declaration = declarations[next]
    guard declaration.name == name else { throw misuse("is out of order, \(shown(declaration.name)) is next", name) }
    while !shards[shard].tensors.contains(next) { shard += 1 }
    next += 1
    return (declaration, shards[shard].file)
  }

  private func misuse(_ what: String, _ tensor: String? = nil) -> RetortError {
    RetortError(.unexpected, what, at: tensor.map { "\(path), tensor \(shown($0))" } ?? path)
  }

  private func wrongSize(_ given: Int, _ declaration: TensorDeclaration) -> RetortError {
    misuse(
      "is declared as \(declaration.dtype.rawValue) \(declaration.shape), \(declaration.byteCount ?? 0) bytes; "
        + "\(given) bytes were given", declaration.name)
  }

  private func indexJSON() -> JSON {
    var map: [String: JSON] = [:]
    for shard in shards {
      let name = JSON.string(fileName(of: shard.path))
      for declaration in declarations[shard.tensors] { map[declaration.name] = name }
    }
    let total = declarations.reduce(0) { $0 + ($1.byteCount ?? 0) }
    return ["metadata": ["total_size": .int(total)], "weight_map": .object(map)]
  }
}

extension SafetensorsWriter {
  private static func check(_ tensors: [TensorDeclaration], _ path: String) throws {
    var seen = Set(["__metadata__"])
    var total = 0
    for declaration in tensors {
      let place = "\(path), tensor \(shown(declaration.name))"
      guard seen.insert(declaration.name).inserted else {
        throw RetortError(.unexpected, "is declared twice or has a reserved name", at: place)
      }
      let sum = declaration.byteCount.map { total.addingReportingOverflow($0) }
      guard let sum, !sum.overflow else {
        throw RetortError(.unexpected, "has the impossible shape \(declaration.shape)", at: place)
      }
      total = sum.partialValue
    }
  }

  /// The ranges of consecutive declarations that fit into a shard; one empty range without declarations.
  private static func split(_ tensors: [TensorDeclaration], _ limit: Int?) -> [Range<Int>] {
    guard let limit else { return [tensors.indices] }
    var runs: [Range<Int>] = []
    var start = 0
    var bytes = 0
    for (index, declaration) in tensors.enumerated() {
      let size = declaration.byteCount ?? 0
      if index > start, bytes + size > limit {
        runs.append(start..<index)
        start = index
        bytes = 0
      }
      bytes += size
    }
    runs.append(start..<tensors.count)
    return runs
  }

  /// `model-00002-of-00003.safetensors` for `model.safetensors`.
  private static func shardPath(_ path: String, _ number: Int, of count: Int) -> String {
    let digits: (Int) -> String = { String(repeating: "0", count: max(0, 5 - String($0).count)) + String($0) }
    let ending = ".safetensors"
    let stem = path.hasSuffix(ending) ? String(path.dropLast(ending.count)) : path
    return "\(stem)-\(digits(number))-of-\(digits(count))\(ending)"
  }

  /// The length and the JSON header, padded with spaces so that the data starts at a multiple of 8.
  private static func header(_ tensors: ArraySlice<TensorDeclaration>, _ metadata: [String: String]) -> [UInt8] {
    var members: [String] = []
    if !metadata.isEmpty {
      members.append("\"__metadata__\":" + JSON.object(metadata.mapValues(JSON.string)).text())
    }
    var position = 0
    for declaration in tensors {
      let end = position + (declaration.byteCount ?? 0)
      let shape = declaration.shape.map(String.init).joined(separator: ",")
      members.append(
        "\(JSON.string(declaration.name).text()):{\"dtype\":\"\(declaration.dtype.rawValue)\",\"shape\":[\(shape)],"
          + "\"data_offsets\":[\(position),\(end)]}")
      position = end
    }
    var json = Array("{\(members.joined(separator: ","))}".utf8)
    json.append(contentsOf: repeatElement(UInt8(ascii: " "), count: (8 - json.count % 8) % 8))
    return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
  }
}
