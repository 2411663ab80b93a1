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
  /// The configuration keeps every key of the student's base that Retort does not know.
  public static func assemble(
    directory: String, configuration: ModelConfiguration, weights: String, tokenizerFiles: [String]
  ) throws {
    try makeDirectory(directory)
    for file in tokenizerFiles {
      let target = joinPath(directory, (file as NSString).lastPathComponent)
      if !isSameFile(file, target) { try writeFileAtomically(target, readFile(file)) }
    }
    guard rename(weights, joinPath(directory, "model.safetensors")) == 0 else {
      throw RetortError(
        .checkpoint, "cannot move \(weights) here (\(systemErrorText()))", at: directory,
        remedy: "check space and permissions there")
    }
    // Weights in the form of the base would win over the new ones in some loaders.
    for stale in ["pytorch_model.bin", "model.safetensors.index.json", "pytorch_model.bin.index.json"] {
      unlink(joinPath(directory, stale))
    }
    let text = JSON.object(outputKeys(configuration)).text(indent: 2)
    try writeFileAtomically(joinPath(directory, "config.json"), text + "\n")
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

  private static func isSameFile(_ a: String, _ b: String) -> Bool {
    guard let first = realpath(a, nil), let second = realpath(b, nil) else { return false }
    defer {
      free(first)
      free(second)
    }
    return strcmp(first, second) == 0
  }
}

/// The identity of a model's files.
public enum ModelDigest {
  /// SHA-256 of config.json and all weight files of a model directory.
  public static func of(directory: String) throws -> String {
    let digest = Digest()
    digest.update(try Digest.ofFile(joinPath(directory, "config.json")))
    for file in try openWeights(inModelDirectory: directory).files { digest.update(try Digest.ofFile(file)) }
    return digest.finish()
  }
}
