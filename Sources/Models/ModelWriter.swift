import Foundation
import Platform
import Safetensors
import Tensors

/// Writes models as Hugging Face directories.
public enum ModelWriter {
  /// Writes a model's weights to one safetensors file, under the names that `transformers` gives them; atomic.
  public static func writeWeights(_ model: any Model, to path: String) throws {
    let table = model.weightTable
    var writer = try SafetensorsWriter(
      path, tensors: table.map { TensorDeclaration($0.name, .float32, $0.shape.array) })
    for binding in table { try writer.append(binding.name, floats: UnsafeBufferPointer(binding.tensor.buffer)) }
    try writer.finish()
  }

  /// Makes a directory a complete model: configuration, tokenizer files and weights that are already in a file.
  ///
  /// - Parameters:
  ///   - weights: a safetensors file that moves to the directory.
  ///   - tokenizerFiles: paths to copy.
  ///   - maxShardBytes: a larger file is written as shards of at most this size and an index.
  /// The configuration keeps every key of the student's base that Retort does not know.
  public static func assemble(
    directory: String, configuration: ModelConfiguration, weights: String, tokenizerFiles: [String],
    maxShardBytes: Int = 5_000_000_000
  ) throws {
    try makeDirectory(directory)
    for file in tokenizerFiles {
      let target = joinPath(directory, fileName(of: file))
      if !isSameFile(file, target) { try writeFileAtomically(target, readFile(file)) }
    }
    var stale = ["pytorch_model.bin", "pytorch_model.bin.index.json"]
    if try fileSize(weights) > maxShardBytes {
      try writeShards(of: weights, to: joinPath(directory, "model.safetensors"), maxShardBytes)
    } else {
      guard rename(weights, joinPath(directory, "model.safetensors")) == 0 else {
        throw RetortError(
          .checkpoint, "cannot move \(weights) here (\(systemErrorText()))", at: directory,
          remedy: "check space and permissions there")
      }
      stale.append("model.safetensors.index.json")
    }
    // Weights in the form of the base would win over the new ones in some loaders.
    for name in stale { unlink(joinPath(directory, name)) }
    let text = JSON.object(outputKeys(configuration)).text(indent: 2)
    try writeFileAtomically(joinPath(directory, "config.json"), text + "\n")
  }

  private static func fileSize(_ path: String) throws -> Int {
    var info = stat()
    guard stat(path, &info) == 0 else {
      throw RetortError(.checkpoint, "cannot read the student's weights (\(systemErrorText()))", at: path)
    }
    return Int(info.st_size)
  }

  /// Copies the tensors of a file into shards, as they are, and removes the file.
  private static func writeShards(of source: String, to path: String, _ maxShardBytes: Int) throws {
    let whole = try SafetensorsFile(source)
    let tensors = try whole.names.map(whole.tensor)
    var writer = try SafetensorsWriter(
      path, tensors: tensors.map { TensorDeclaration($0.name, $0.dtype, $0.shape) }, maxShardBytes: maxShardBytes)
    for tensor in tensors { try writer.append(tensor.name, bytes: tensor.bytes) }
    try writer.finish()
    unlink(source)
  }

  /// The keys of a student's config.json: the base's, with architecture and number format as they are now.
  static func outputKeys(_ configuration: ModelConfiguration) -> [String: JSON] {
    var keys = configuration.json
    keys["architectures"] = [.string(configuration.family.architecture)]
    if !configuration.family.isLanguageModel { keys["problem_type"] = "single_label_classification" }
    keys["tokenizer"] = nil
    // Newer writers call it dtype; a base keeps the name it came with.
    keys[keys["dtype"] != nil ? "dtype" : "torch_dtype"] = "float32"
    return keys
  }
}

/// The identity of a model's files.
public enum ModelDigest {
  /// The files that make up the model of a directory: config.json, and those of its weights. Throws `.input`.
  public static func files(of directory: String) throws -> [String] {
    [joinPath(directory, "config.json")] + (try openWeights(inModelDirectory: directory).files)
  }

  /// SHA-256 of the SHA-256 of each of the `files`, in their order.
  public static func of(_ files: [String]) -> String {
    let digest = Digest()
    files.forEach(digest.update(_:))
    return digest.finish()
  }

  /// SHA-256 of model.safetensors, or of a sharded model's files together.
  public static func ofWeights(directory: String) throws -> String {
    let files = try openWeights(inModelDirectory: directory).files
    if files.count == 1 { return try Digest.ofFile(files[0]) }
    return of(try files.map(Digest.ofFile))
  }
}
