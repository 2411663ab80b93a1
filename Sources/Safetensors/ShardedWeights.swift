import Platform

/// Weights spread over several files beside an index; a shard is opened when a tensor of it is first asked for.
///
/// Reads `model.safetensors.index.json` and `pytorch_model.bin.index.json` alike.
public final class ShardedWeights: WeightSource {
  private let index: String
  private let directory: String
  /// Tensor name to shard file name.
  private let shardOf: [String: String]
  private var opened: [String: any WeightSource] = [:]

  /// The names of all tensors, shard by shard in the order of file names, by name inside a shard.
  public let names: [String]
  /// The index's `metadata`, such as `total_size`; values that are no strings as JSON text.
  public let metadata: [String: String]
  /// The paths of the index and then of the shards, sorted.
  public let files: [String]

  /// Reads the index and looks that every shard is there; throws `.input` with the index, the tensor and the shard.
  public init(index path: String) throws {
    index = path
    directory = directoryOf(path)
    let json = try JSON(contentsOf: path)
    guard let map = json["weight_map"]?.object else {
      throw RetortError(.input, "has no object \"weight_map\"", at: path)
    }
    var shardOf: [String: String] = [:]
    for (name, value) in map {
      let place = "\(path), tensor \(shown(name))"
      guard let shard = value.string else { throw RetortError(.input, "its shard is not a file name", at: place) }
      // A shard stands beside its index: anything else could reach for files that are not the model's.
      guard !shard.isEmpty, !shard.contains("/"), shard != ".." else {
        throw RetortError(.input, "its shard \(shown(shard)) is not the name of a file beside the index", at: place)
      }
      shardOf[name] = shard
    }
    let shards = Set(shardOf.values).sorted()
    let missing = shards.filter { !fileExists(joinPath(directoryOf(path), $0)) }
    if let first = missing.first {
      throw RetortError(
        .input, "\(missing.count) of \(shards.count) shards are missing, the first is \(shown(first))", at: path,
        remedy: "fetch the missing files into the same directory")
    }
    self.shardOf = shardOf
    names = shardOf.keys.sorted { (shardOf[$0] ?? "", $0) < (shardOf[$1] ?? "", $1) }
    files = [path] + shards.map { joinPath(directoryOf(path), $0) }
    metadata = (json["metadata"]?.object ?? [:]).mapValues { $0.string ?? $0.text() }
  }

  public func contains(_ name: String) -> Bool { shardOf[name] != nil }

  public func tensor(_ name: String) throws -> StoredTensor {
    guard let shard = shardOf[name] else { throw noSuchTensor(name, in: index, names: names) }
    let source = try opened[shard] ?? openWeightFile(joinPath(directory, shard))
    opened[shard] = source
    guard source.contains(name) else {
      throw RetortError(
        .input, "the index says that tensor \(shown(name)) is in \(shown(shard)), but it is not there", at: index,
        remedy: fetchAgain)
    }
    return try source.tensor(name)
  }
}

/// The directory part of a path, "" for a bare name.
func directoryOf(_ path: String) -> String {
  guard let slash = path.lastIndex(of: "/") else { return "" }
  return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// Opens one weight file by its name: `.safetensors`, or a torch file otherwise.
func openWeightFile(_ path: String) throws -> any WeightSource {
  path.hasSuffix(".safetensors") ? try SafetensorsFile(path) : try TorchFile(path)
}

/// Opens the weights of a Hugging Face model directory: `model.safetensors`, `model.safetensors.index.json`,
/// `pytorch_model.bin` or `pytorch_model.bin.index.json`, the first of these that is there.
///
/// Throws `.input` that names what was looked for where none is, or what is wrong with the one that is.
public func openWeights(inModelDirectory directory: String) throws -> any WeightSource {
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
