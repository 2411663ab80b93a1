import Foundation
import Platform
import Safetensors

extension ModelConfiguration {
  /// Throws `.input` if the sizes differ from those of a checkpoint; called before anything of these sizes is
  /// allocated.
  ///
  /// - Parameter countingLayers: whether the model has all layers of the checkpoint.
  func requireSizes(of source: any WeightSource, countingLayers: Bool = true) throws {
    for (names, shape) in try sizes.probes {
      guard let name = names.first(where: source.contains) else { continue }
      try requireShape(shape, name, source)
    }
    guard countingLayers, let count = try layerCount else { return }
    let numbers = source.names.compactMap { name -> Int? in
      guard let range = name.firstRange(of: family.definition.layerMarker) else { return nil }
      return Int(name[range.upperBound...].prefix { $0.isNumber })
    }
    if let last = numbers.max(), last < count - 1 {
      throw RetortError(
        .input,
        "the configuration has \(count) layers, but the checkpoint has layers 0 to \(last): the tensors of the others, "
          + "such as those of layer \(last + 1), are missing", at: self.source,
        remedy: "check that config.json belongs to \(source.files.first ?? "these weights")")
    }
  }

  /// The first tensor whose shape differs between a model and one with some of its layers, or nil. Throws `.input` for
  /// an invalid size.
  package func sizeDifference(from other: ModelConfiguration) throws -> (name: String, own: [Int], theirs: [Int])? {
    let theirs = Dictionary(try other.sizes.probes.map { ($0.names[0], $0.shape) }) { first, _ in first }
    for (names, shape) in try sizes.probes {
      if let different = theirs[names[0]], different != shape { return (names[0], shape, different) }
    }
    return nil
  }

  func requireShape(_ shape: [Int], _ name: String, _ source: any WeightSource) throws {
    let stored = try source.describe(name).shape
    if stored == shape { return }
    throw RetortError(
      .input, "tensor \(name) has shape \(stored), but the configuration needs \(shape)",
      at: source.files.first ?? self.source, remedy: "check that \(self.source) belongs to these weights")
  }

  /// The configuration with the checkpoint's `tie_word_embeddings`, and whether config.json differs from it.
  ///
  /// As in `transformers`, a head tensor in the file makes the model untied, unless it equals the token embeddings bit
  /// for bit.
  func resolvingTie(_ source: any WeightSource) throws -> (configuration: ModelConfiguration, differs: Bool) {
    guard isLanguageModel, try sizes.isTied, source.contains("lm_head.weight"),
      let name = family.definition.anchors.first(where: source.contains)
    else { return (self, false) }
    let (head, table) = (try source.tensor("lm_head.weight"), try source.tensor(name))
    if head.hasSameValues(as: table) { return (self, false) }
    return (setting(["tie_word_embeddings": false]), true)
  }

  /// Whether this language model has a tied head and the other one an untied head. Throws `.configuration` for
  /// impossible values.
  package func givesTableAsHead(to other: ModelConfiguration) throws -> Bool {
    guard isLanguageModel, other.isLanguageModel else { return false }
    return try sizes.isTied && !other.sizes.isTied
  }
}

extension StoredTensor {
  /// Whether shape and values are equal, bit for bit after conversion to float32.
  func hasSameValues(as other: StoredTensor) -> Bool {
    if shape != other.shape { return false }
    if dtype == other.dtype {
      guard let ours = bytes.baseAddress, let theirs = other.bytes.baseAddress else { return true }
      return memcmp(ours, theirs, bytes.count) == 0
    }
    let piece = 1 << 16
    var (ours, theirs) = ([Float](repeating: 0, count: piece), [Float](repeating: 0, count: piece))
    for start in stride(from: 0, to: count, by: piece) {
      let range = start..<min(count, start + piece)
      ours.withUnsafeMutableBufferPointer { if let base = $0.baseAddress { copyFloats(into: base, range: range) } }
      theirs.withUnsafeMutableBufferPointer {
        if let base = $0.baseAddress { other.copyFloats(into: base, range: range) }
      }
      if ours != theirs { return false }
    }
    return true
  }
}
