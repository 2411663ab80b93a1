import Platform
import Safetensors

/// A checkpoint under the tensor names of `transformers`, without the prefixes of wrappers around the saved model.
///
///     module.bert.encoder…           DistributedDataParallel
///     _orig_mod.bert.encoder…        torch.compile, anywhere in a name
///     model.bert.encoder…            an attribute of a training module, such as Lightning's
final class CanonicalWeights: WeightSource {
  private let source: any WeightSource
  /// From the canonical name to the name in the file.
  private var stored: [String: String] = [:]

  private(set) var names: [String]
  private(set) var remarks: [String]
  var files: [String] { source.files }
  var metadata: [String: String] { source.metadata }

  /// The names that wrappers give to the module inside; no family has a tensor with such a component in its name.
  private static let wrappers: Set<Substring> = [
    "module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module",
  ]

  /// - Parameters:
  ///   - without: whether to hide the tensor with this name, for example one of a head that is not used.
  init(_ source: any WeightSource, _ family: ModelFamily, without isHidden: (String) -> Bool = { _ in false }) {
    self.source = source
    var canonical = source.names.map(CanonicalWeights.unwrapped)
    // Keep all names if two of them differ only by their wrappers.
    if Set(canonical).count < canonical.count { canonical = source.names }
    let prefix = CanonicalWeights.prefix(of: canonical, family.definition.anchors)
    let taken = Set(canonical)
    canonical = canonical.map { name in
      let rest = String(name.dropFirst(prefix.count))
      return name.hasPrefix(prefix) && !taken.contains(rest) ? rest : name
    }
    for (name, own) in zip(canonical, source.names) where !isHidden(name) { stored[name] = own }
    names = canonical.filter { !isHidden($0) }
    remarks = source.remarks
    if let (name, own) = zip(canonical, source.names).first(where: { $0.0 != $0.1 }), let file = source.files.first {
      remarks.append("\(file): its names are those of a wrapped model: \(own) is read as \(name)")
    }
  }

  private init(_ other: CanonicalWeights, _ names: [String], _ stored: [String: String]) {
    (source, remarks) = (other.source, other.remarks)
    (self.names, self.stored) = (names, stored)
  }

  /// The same tensors, with a second name for one of them: the first of `originals` that exists.
  func naming(_ name: String, as originals: [String]) -> CanonicalWeights {
    guard let own = originals.lazy.compactMap({ self.stored[$0] }).first else { return self }
    return CanonicalWeights(self, names + [name], stored.merging([name: own]) { _, new in new })
  }

  private static func unwrapped(_ name: String) -> String {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    return parts.contains(where: wrappers.contains)
      ? parts.filter { !wrappers.contains($0) }.joined(separator: ".") : name
  }

  /// The common prefix of the model's names, if exactly one tensor shows it; otherwise empty.
  private static func prefix(of names: [String], _ anchors: [String]) -> String {
    let known = Set(names)
    if anchors.contains(where: known.contains) { return "" }
    for anchor in anchors {
      let found = names.filter { $0.hasSuffix("." + anchor) }
      if found.count == 1 { return String(found[0].dropLast(anchor.count)) }
      if found.count > 1 { return "" }
    }
    return ""
  }

  func contains(_ name: String) -> Bool { stored[name] != nil }

  func tensor(_ name: String) throws -> StoredTensor { try source.tensor(own(name)) }

  func describe(_ name: String) throws -> TensorDescription { try source.describe(own(name)) }

  private func own(_ name: String) throws -> String {
    guard let own = stored[name] else {
      throw RetortError(.input, "there is no tensor \(name)", at: source.files.first)
    }
    return own
  }
}
