import Foundation
import Models
import Platform
import Tokenizers

/// The files of a committed student with their sizes and digests: a changed file makes it a different student.
package struct StudentFiles: Equatable, Sendable {
  /// Size and digest of a file.
  struct Entry: Equatable, Sendable {
    let size: Int
    /// SHA-256 of the content.
    let digest: String

    init(size: Int, digest: String) { (self.size, self.digest) = (size, digest) }

    /// The entry of a file with this content.
    init(_ content: Data) {
      let running = Digest()
      content.withUnsafeBytes { running.update($0) }
      self.init(size: content.count, digest: running.finish())
    }
  }

  /// A file that differs from the committed one.
  package struct Difference: Equatable, Sendable {
    enum Kind: String, Sendable { case missing = "is missing", empty = "is empty", changed = "has changed" }
    let name: String
    let kind: Kind

    /// "vocab.txt is missing".
    package var text: String { "\(name) \(kind.rawValue)" }
  }

  /// The entries by file name in the student's directory.
  let entries: [String: Entry]

  init(_ entries: [String: Entry]) { self.entries = entries }

  /// The names of the files directly in a directory, and of a model's files in folders of it.
  static func names(in directory: String) throws -> [String] {
    try listDirectory(directory)
      + SentenceTransformer.files.filter { $0.contains("/") && fileExists(joinPath(directory, $0)) }
  }

  /// Reads every file directly in a directory, and a model's files in folders of it.
  init(of directory: String) throws {
    var entries: [String: Entry] = [:]
    for name in try StudentFiles.names(in: directory) where !isDirectory(joinPath(directory, name)) {
      entries[name] = try StudentFiles.entry(joinPath(directory, name))
    }
    self.entries = entries
  }

  /// Parses the form of `json`; nil if it is invalid.
  init?(_ json: JSON) {
    guard let object = json.object, !object.isEmpty else { return nil }
    var entries: [String: Entry] = [:]
    for (name, entry) in object {
      // A name must not lead out of the directory.
      let isPlain = !name.contains("/") && name != ".." || SentenceTransformer.files.contains(name)
      guard !name.isEmpty, isPlain, let size = entry["size"]?.int,
        let digest = entry["sha256"]?.string
      else { return nil }
      entries[name] = Entry(size: size, digest: digest)
    }
    self.entries = entries
  }

  var json: JSON {
    .object(entries.mapValues { ["size": .int($0.size), "sha256": .string($0.digest)] })
  }

  /// Size and digest of a file; throws `.input` if it cannot be read.
  static func entry(_ path: String) throws -> Entry {
    Entry(size: size(path) ?? 0, digest: try Digest.ofFile(path))
  }

  /// Whether a directory contains the file unchanged.
  func holds(_ name: String, in directory: String) -> Bool {
    guard let entry = entries[name] else { return false }
    return difference(name, entry, in: directory) == nil
  }

  /// The files that differ from the committed ones, by name; reads every file whose size is right.
  func differences(in directory: String) -> [Difference] {
    entries.sorted { $0.key < $1.key }.compactMap { difference($0.key, $0.value, in: directory) }
  }

  private func difference(_ name: String, _ entry: Entry, in directory: String) -> Difference? {
    let path = joinPath(directory, name)
    guard let size = StudentFiles.size(path) else { return Difference(name: name, kind: .missing) }
    if size == 0, entry.size > 0 { return Difference(name: name, kind: .empty) }
    if size == entry.size, (try? Digest.ofFile(path)) == entry.digest { return nil }
    return Difference(name: name, kind: .changed)
  }

  /// The digest that `ModelDigest.ofWeights` gives for these files; nil without weights.
  var weightsDigest: String? {
    let weights = entries.filter { StudentFiles.isModelFile($0.key) && $0.key.hasSuffix(".safetensors") }
    if weights.count == 1 { return weights.first?.value.digest }
    return weights.isEmpty ? nil : ModelDigest.of(weights.sorted { $0.key < $1.key }.map(\.value.digest))
  }

  /// Whether a loader would treat a file of this name as part of the model in a directory.
  static func isModelFile(_ name: String) -> Bool {
    let single = [
      "config.json", "generation_config.json", "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin",
    ]
    if single.contains(name) || isTokenizerFile(name) || SentenceTransformer.files.contains(name) { return true }
    let isWeights = ["model", "pytorch_model"].contains { name.hasPrefix($0 + ".") || name.hasPrefix($0 + "-") }
    return isWeights
      && [".safetensors", ".bin", ".safetensors.index.json", ".bin.index.json"].contains { name.hasSuffix($0) }
  }

  private static func size(_ path: String) -> Int? {
    var info = stat()
    guard stat(path, &info) == 0, (info.st_mode & S_IFMT) == S_IFREG else { return nil }
    return Int(info.st_size)
  }
}
