import Datasets
import Foundation
import Platform
import Safetensors
import Tensors

/// Writes models as Hugging Face directories.
package enum ModelWriter {
  /// Writes a model's weights to one safetensors file under their `transformers` names; atomic.
  package static func writeWeights(_ model: any Model, to path: String) throws {
    let table = model.weightTable
    var writer = try SafetensorsWriter(
      path, tensors: table.map { TensorDeclaration($0.name, .float32, $0.shape.array) })
    for binding in table {
      let stored = binding.stored
      try withExtendedLifetime(stored) {
        try writer.append(binding.name, floats: UnsafeBufferPointer(stored.buffer))
      }
    }
    try writer.finish()
  }

  /// The files of a model besides its weights, by name: configuration and tokenizer.
  ///
  /// The configuration keeps every key of the student's base that Retort does not know.
  /// - Parameters:
  ///   - tokenizerFiles: paths to copy.
  ///   - written: files by name that take the place of copied ones.
  package static func companions(
    _ configuration: ModelConfiguration, tokenizerFiles: [String], written: [String: Data] = [:]
  ) throws -> [String: Data] {
    var files: [String: Data] = [:]
    for file in tokenizerFiles { files[fileName(of: file)] = try readFile(file) }
    files.merge(written) { $1 }
    if let pooling = configuration.pooling, let sizes = try configuration.sizes as? EncoderConfiguration {
      let record = TaskRecord(configuration.json[TaskRecord.key])
      let limits = [record?.maxLength, sizes.contextLength].compactMap { $0 }
      files.merge(SentenceTransformer.files(pooling, width: sizes.hiddenSize, maxLength: limits.min())) { $1 }
    }
    files["config.json"] = Data((JSON.object(outputKeys(configuration)).text(indent: 2) + "\n").utf8)
    return files
  }

  /// Turns an empty directory into a complete model: configuration, tokenizer files, and weights from an existing file.
  ///
  /// - Parameters:
  ///   - weights: a safetensors file, which stays in its place: the directory gets a hard link to it, or a copy if the
  ///     file system has no hard links.
  ///   - tokenizerFiles: paths to copy.
  ///   - written: files by name that take the place of copied ones.
  ///   - maxShardBytes: a larger file is written as shards of at most this size and an index.
  package static func assemble(
    directory: String, configuration: ModelConfiguration, weights: String, tokenizerFiles: [String],
    written: [String: Data] = [:], maxShardBytes: Int = 5_000_000_000
  ) throws {
    try makeDirectory(directory)
    for (name, content) in try companions(configuration, tokenizerFiles: tokenizerFiles, written: written) {
      let path = joinPath(directory, name)
      if name.contains("/") { try makeDirectory(parentDirectory(of: path)) }
      try writeFileAtomically(path, content)
    }
    let target = joinPath(directory, "model.safetensors")
    if try fileSize(weights) > maxShardBytes {
      try writeShards(of: weights, to: target, maxShardBytes)
    } else if link(weights, target) != 0 {
      let (source, copy) = (try MappedFile(weights), try AtomicFile(target))
      try withExtendedLifetime(source) { try copy.write(source.bytes) }
      try copy.commit()
    }
  }

  private static func fileSize(_ path: String) throws -> Int {
    var info = stat()
    guard stat(path, &info) == 0 else {
      throw RetortError(.checkpoint, "cannot read the student's weights (\(systemErrorText()))", at: path)
    }
    return Int(info.st_size)
  }

  /// Copies the tensors of a file into shards, unchanged.
  private static func writeShards(of source: String, to path: String, _ maxShardBytes: Int) throws {
    let whole = try SafetensorsFile(source)
    let tensors = try whole.names.map(whole.tensor)
    var writer = try SafetensorsWriter(
      path, tensors: tensors.map { TensorDeclaration($0.name, $0.dtype, $0.shape) }, maxShardBytes: maxShardBytes)
    for tensor in tensors { try writer.append(tensor.name, bytes: tensor.bytes) }
    try writer.finish()
  }

  /// The keys of a student's config.json: the base's, with the student's architecture, task and number format.
  static func outputKeys(_ configuration: ModelConfiguration) -> [String: JSON] {
    var keys = configuration.with(kind: configuration.kind).json
    keys["tokenizer"] = nil
    // Newer writers call the key dtype; a student keeps the name in its base.
    keys[keys["dtype"] != nil ? "dtype" : "torch_dtype"] = "float32"
    return keys
  }
}

/// The identity of a model's files.
package enum ModelDigest {
  /// The files of the model in a directory: config.json, those of sentence-transformers and its weights. Throws
  /// `.input`.
  package static func files(of directory: String) throws -> [String] {
    [joinPath(directory, "config.json")] + SentenceTransformer.files.map { joinPath(directory, $0) }.filter(fileExists)
      + (try openWeights(inModelDirectory: directory).files)
  }

  /// SHA-256 of the SHA-256 of each of the `files`, in their order.
  package static func of(_ files: [String]) -> String {
    let digest = Digest()
    files.forEach(digest.update(_:))
    return digest.finish()
  }

  /// SHA-256 of model.safetensors, or of a sharded model's files together.
  package static func ofWeights(directory: String) throws -> String {
    let files = try openWeights(inModelDirectory: directory).files
    if files.count == 1 { return try Digest.ofFile(files[0]) }
    return of(try files.map(Digest.ofFile))
  }
}
