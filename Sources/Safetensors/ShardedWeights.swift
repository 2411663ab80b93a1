import Platform

/// Weights in several files (shards) with an index.
///
/// Reads `model.safetensors.index.json` and `pytorch_model.bin.index.json`. The shards themselves decide where a tensor
/// is: one in a shard other than the index says, or one that the index does not list, is found, as `transformers` finds
/// it, and a remark reports that the index is wrong.
package final class ShardedWeights: WeightSource {
  private let index: String
  /// Tensor name to the shard file that the index names.
  private let listed: [String: String]
  /// Tensor name to the shard file that contains it.
  private let held: [String: String]
  private let opened: [String: any WeightSource]

  /// The names of all tensors, ordered by shard file name, then by name.
  package let names: [String]
  /// The index's `metadata`, such as `total_size`; values other than strings as JSON text.
  package let metadata: [String: String]
  /// The path of the index, then those of the shards, sorted.
  package let files: [String]
  package let remarks: [String]

  /// Reads the index and opens every shard; throws `.input` with the index, the tensor and the shard.
  package init(index path: String) throws {
    index = path
    let json = try JSON(contentsOf: path)
    guard let map = json["weight_map"]?.object else {
      throw RetortError(.input, "has no object \"weight_map\"", at: path)
    }
    let listed = try ShardedWeights.shards(map, path)
    var (held, opened): ([String: String], [String: any WeightSource]) = ([:], [:])
    let shards = Set(listed.values).sorted()
    let present = shards.filter { fileExists(joinPath(directoryOf(path), $0)) }
    for shard in present {
      let source = try openWeightFile(joinPath(directoryOf(path), shard))
      opened[shard] = source
      for name in source.names where held[name] == nil || listed[name] == shard { held[name] = shard }
    }
    let missing = shards.filter { shard in
      !present.contains(shard) && listed.contains { $0.value == shard && held[$0.key] == nil }
    }
    if let first = missing.first {
      throw RetortError(
        .input, "\(missing.count) of \(shards.count) shards are missing, the first is \(shown(first))", at: path,
        remedy: "fetch the missing files into the same directory")
    }
    (self.listed, self.held, self.opened) = (listed, held, opened)
    let place = { [held] (name: String) in held[name] ?? listed[name] ?? "" }
    names = Set(held.keys).union(listed.keys).sorted { (place($0), $0) < (place($1), $1) }
    files = [path] + present.map { joinPath(directoryOf(path), $0) }
    metadata = (json["metadata"]?.object ?? [:]).mapValues { $0.string ?? $0.text() }
    remarks = ShardedWeights.remarks(listed, held, path)
  }

  /// Requires that shards are in the directory of the index, so that an index cannot name files outside the model.
  private static func shards(_ map: [String: JSON], _ path: String) throws -> [String: String] {
    var listed: [String: String] = [:]
    for (name, value) in map {
      let place = "\(path), tensor \(shown(name))"
      guard let shard = value.string else { throw RetortError(.input, "its shard is not a file name", at: place) }
      guard !shard.isEmpty, !shard.contains("/"), shard != "..", shard != "." else {
        throw RetortError(.input, "its shard \(shown(shard)) is not the name of a file beside the index", at: place)
      }
      listed[name] = shard
    }
    return listed
  }

  private static func remarks(_ listed: [String: String], _ held: [String: String], _ path: String) -> [String] {
    func some(_ names: [String]) -> String {
      names.sorted().prefix(3).map(shown).joined(separator: ", ") + (names.count > 3 ? ", …" : "")
    }
    let moved = listed.filter { held[$0.key].map { [shard = $0.value] in $0 != shard } ?? false }.map(\.key)
    let unlisted = held.keys.filter { listed[$0] == nil }
    var remarks: [String] = []
    if !moved.isEmpty {
      remarks.append(
        "\(path): \(moved.count) tensors are in a shard other than the index says and were read there: \(some(moved))")
    }
    if !unlisted.isEmpty {
      remarks.append("\(path): \(unlisted.count) tensors of the shards are not in the index: \(some(unlisted))")
    }
    return remarks
  }

  package func contains(_ name: String) -> Bool { held[name] != nil || listed[name] != nil }

  package func tensor(_ name: String) throws -> StoredTensor { try shard(of: name).tensor(name) }

  package func describe(_ name: String) throws -> TensorDescription { try shard(of: name).describe(name) }

  private func shard(of name: String) throws -> any WeightSource {
    if let source = held[name].flatMap({ opened[$0] }) { return source }
    guard let shard = listed[name] else { throw noSuchTensor(name, in: index, names: names) }
    throw RetortError(
      .input,
      "the index says that tensor \(shown(name)) is in \(shown(shard)), but it is neither there nor in another shard",
      at: index, remedy: fetchAgain)
  }
}

/// The directory part of a path, "" for a bare name.
func directoryOf(_ path: String) -> String {
  guard let slash = path.lastIndex(of: "/") else { return "" }
  return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// Opens one weight file: safetensors if its name ends in `.safetensors`, otherwise a torch file.
func openWeightFile(_ path: String) throws -> any WeightSource {
  path.hasSuffix(".safetensors") ? try SafetensorsFile(path) : try TorchFile(path)
}

/// Opens the weights of a Hugging Face model directory: `model.safetensors`, `model.safetensors.index.json`,
/// `pytorch_model.bin` or `pytorch_model.bin.index.json`, the first of these that exists.
///
/// Throws `.input` with these names if none exists, or with the fault of the one that does.
package func openWeights(inModelDirectory directory: String) throws -> any WeightSource {
  guard isDirectory(directory) else {
    let what = fileExists(directory) ? "is a file, a model directory was expected" : "there is no such directory"
    throw RetortError(.input, what, at: directory)
  }
  let single = ["model.safetensors", "pytorch_model.bin"]
  for name in single {
    let path = joinPath(directory, name)
    if fileExists(path) { return try openWeightFile(path) }
    if fileExists(path + ".index.json") { return try ShardedWeights(index: path + ".index.json") }
  }
  throw RetortError(
    .input,
    "holds no weights: looked for model.safetensors, model.safetensors.index.json, pytorch_model.bin and "
      + "pytorch_model.bin.index.json", at: directory, remedy: "fetch the weights into this directory")
}
