import Platform
import Tensors

/// A safetensors file, mapped into memory and checked as a whole before anything is read from it.
///
///     | header length, 8 bytes | JSON header, spaces to the next multiple of 8 | data of all tensors, without gaps |
package final class SafetensorsFile: WeightSource, Sendable {
  /// The largest accepted header in bytes, the same limit as the reference implementation's.
  package static let maxHeaderBytes = 100_000_000

  private let mapping: MappedFile
  private let tensors: [String: StoredTensor]
  /// Tensors whose type Retort does not read; the others are read all the same.
  private let foreign: [String: TensorDescription]

  /// The names of all tensors, in the order of their data.
  package let names: [String]
  /// The strings of the header's `__metadata__`; empty if it has none.
  package let metadata: [String: String]
  package var files: [String] { [mapping.path] }

  /// Opens and checks a file; throws `.input` with file, tensor and numbers if the header does not match the bytes.
  package init(_ path: String) throws {
    mapping = try MappedFile(path)
    let file = BoundedBytes(bytes: mapping.bytes, file: path)
    try file.refuseLargeFilePointer()
    let header = try SafetensorsFile.header(of: file)
    let scanned = try HeaderScanner(header, file: path)
    let dataStart = 8 + header.count
    let entries = try SafetensorsFile.check(scanned.entries, dataCount: file.count - dataStart, file: path)

    var tensors: [String: StoredTensor] = [:]
    var foreign: [String: TensorDescription] = [:]
    for (entry, dtype) in entries {
      guard let dtype else {
        foreign[entry.name] = TensorDescription(
          type: entry.dtype, shape: entry.shape, byteCount: entry.end - entry.begin)
        continue
      }
      let bytes = try file.slice(dataStart + entry.begin, entry.end - entry.begin, "tensor \(shown(entry.name))")
      tensors[entry.name] = StoredTensor(
        name: entry.name, dtype: dtype, shape: entry.shape, bytes: bytes, file: path, owner: mapping)
    }
    self.tensors = tensors
    self.foreign = foreign
    names = entries.map(\.0.name)
    metadata = scanned.metadata
  }

  package func contains(_ name: String) -> Bool { tensors[name] != nil || foreign[name] != nil }

  package func tensor(_ name: String) throws -> StoredTensor {
    if let tensor = tensors[name] { return tensor }
    if let other = foreign[name] { throw unreadType(other.type, at: "\(mapping.path), tensor \(shown(name))") }
    throw noSuchTensor(name, in: mapping.path, names: names)
  }

  package func describe(_ name: String) throws -> TensorDescription {
    if let other = foreign[name] { return other }
    let tensor = try tensor(name)
    return TensorDescription(type: tensor.dtype.rawValue, shape: tensor.shape, byteCount: tensor.bytes.count)
  }

  private static func header(of file: BoundedBytes) throws -> UnsafeRawBufferPointer {
    guard file.count >= 8 else {
      throw RetortError(
        .input,
        "is truncated: \(8 - file.count) bytes are missing from the header's length (8 bytes, the file has "
          + "\(file.count))", at: file.file, remedy: fetchAgain)
    }
    let length = try file.integer(0, as: UInt64.self, "the header's length")
    guard length <= maxHeaderBytes else {
      throw RetortError(
        .input, "announces a header of \(length) bytes; at most \(maxHeaderBytes) are accepted", at: file.file,
        remedy: "check that this is a safetensors file")
    }
    let missing = Int(length) - (file.count - 8)
    if missing > 0 {
      throw RetortError(
        .input,
        "is truncated: \(missing) bytes are missing from the header (it needs \(8 + length) bytes, the file "
          + "has \(file.count))", at: file.file, remedy: fetchAgain)
    }
    return try file.slice(8, Int(length), "the header")
  }

  /// Checks the entries against each other and the data section; returns them in the order of their data.
  private static func check(_ entries: [HeaderEntry], dataCount: Int, file: String) throws -> [(HeaderEntry, DType?)] {
    var checked = try entries.map { ($0, try dtype(of: $0, file: file)) }
    checked.sort { ($0.0.begin, $0.0.end) < ($1.0.begin, $1.0.end) }
    var position = 0
    for (index, (entry, _)) in checked.enumerated() {
      let place = "\(file), tensor \(shown(entry.name))"
      if entry.begin < position {
        throw RetortError(
          .input,
          "starts at data byte \(entry.begin) and overlaps tensor \(shown(checked[index - 1].0.name)), which "
            + "ends at \(position)", at: place, remedy: fetchAgain)
      }
      if entry.begin > position {
        throw RetortError(
          .input,
          "starts at data byte \(entry.begin), but the tensors before it end at \(position): "
            + "\(entry.begin - position) bytes belong to no tensor", at: place, remedy: fetchAgain)
      }
      position = entry.end
    }
    if position > dataCount, let cut = checked.first(where: { $0.0.end > dataCount })?.0 {
      throw RetortError(
        .input,
        "the file is truncated: \(position - dataCount) bytes are missing (the tensors need \(position) bytes "
          + "of data, the file has \(dataCount); this tensor ends at \(cut.end))",
        at: "\(file), tensor \(shown(cut.name))", remedy: fetchAgain)
    }
    if position < dataCount {
      let last = checked.last.map { ", tensor \(shown($0.0.name))" } ?? ""
      throw RetortError(
        .input,
        "the tensors end at data byte \(position), but the file has \(dataCount) bytes of data: "
          + "\(dataCount - position) bytes belong to no tensor", at: file + last, remedy: fetchAgain)
    }
    return checked
  }

  /// The entry's element type, after a check that its shape and offsets give the same length; nil for a type that
  /// Retort does not read, whose length the shape does not determine.
  private static func dtype(of entry: HeaderEntry, file: String) throws -> DType? {
    let place = "\(file), tensor \(shown(entry.name))"
    guard entry.begin <= entry.end else {
      throw RetortError(.input, "starts at data byte \(entry.begin) and ends before it, at \(entry.end)", at: place)
    }
    guard let dtype = DType(rawValue: entry.dtype) else { return nil }
    guard let needed = checkedProduct(entry.shape, times: dtype.size) else {
      throw RetortError(
        .input,
        "has the shape \(entry.shape) of \(dtype.rawValue), more bytes than 64 bits can count; its offsets "
          + "hold \(entry.end - entry.begin)", at: place)
    }
    guard needed == entry.end - entry.begin else {
      throw RetortError(
        .input,
        "has the shape \(entry.shape) of \(dtype.rawValue), \(needed) bytes, but its offsets "
          + "\(entry.begin)..<\(entry.end) hold \(entry.end - entry.begin)", at: place)
    }
    return dtype
  }
}

let fetchAgain = "fetch or copy the file again"
