import Platform

/// One `--set KEY.PATH=VALUE`; the value is read as YAML.
///
/// The path starts below `distillation_chain`. It names a step by its index, by its `step_id`, or all steps by `*`.
struct ConfigurationOverride {
  let key: String
  let value: ConfigurationNode

  init(parsing text: String) throws {
    guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
      throw RetortError(
        .configuration, "is not KEY=VALUE", at: "--set \(text)",
        remedy: "write for example --set steps.0.hyperparams.batch_size=64")
    }
    var key = String(text[..<equals])
    if key.hasPrefix("distillation_chain.") { key.removeFirst("distillation_chain.".count) }
    let origin = Origin.override(key)
    let yaml = String(text[text.index(after: equals)...])
    self.key = key
    value =
      try ConfigurationNode(parsing: yaml, file: "", origin: origin)
      ?? ConfigurationNode(content: .scalar("", quoted: false), origin: origin)
  }

  /// Sets the value in a chain's tree.
  ///
  /// It creates missing mappings on the path; the decoder checks whether their keys exist.
  func apply(to chain: inout ConfigurationNode) throws {
    let names = key.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    if names.contains("") { throw failure("has an empty name in its path") }
    chain = try replacing(in: chain, names[...], walked: "")
  }

  private func failure(_ what: String, remedy: String? = nil) -> RetortError {
    RetortError(.configuration, what, at: "--set \(key)", remedy: remedy)
  }

  private func replacing(in node: ConfigurationNode, _ names: ArraySlice<String>, walked: String) throws
    -> ConfigurationNode
  {
    guard let name = names.first else { return value }
    var node = node
    let path = walked.isEmpty ? name : "\(walked).\(name)"
    switch node.content {
    case .mapping(var entries):
      if let index = entries.firstIndex(where: { $0.key == name }) {
        entries[index].value = try replacing(in: entries[index].value, names.dropFirst(), walked: path)
      } else {
        entries.append(.init(key: name, origin: value.origin, value: try fresh(names.dropFirst(), walked: path)))
      }
      node.content = .mapping(entries)
    case .sequence(var items):
      let (indices, used) = try select(names, among: items, walked: walked)
      for index in indices {
        let path = "\(walked).\(index)"
        items[index] = try replacing(in: items[index], names.dropFirst(used), walked: path)
      }
      node.content = .sequence(items)
    case .scalar:
      guard node.isNull else {
        throw failure("\(walked) is \(node.kindText), which has no \"\(name)\" in it", remedy: "set \(walked) itself")
      }
      node = try fresh(names, walked: walked)
    }
    return node
  }

  /// The value inside new mappings for the rest of the path.
  private func fresh(_ names: ArraySlice<String>, walked: String) throws -> ConfigurationNode {
    guard !names.isEmpty else { return value }
    return try replacing(in: ConfigurationNode(content: .mapping([]), origin: value.origin), names, walked: walked)
  }

  /// The items of a list that the next names select, and the number of names used, since a `step_id` may contain dots.
  private func select(_ names: ArraySlice<String>, among items: [ConfigurationNode], walked: String) throws
    -> (indices: [Int], used: Int)
  {
    let name = names[names.startIndex]
    if name == "*" { return (Array(items.indices), 1) }
    if let index = Int(name), items.indices.contains(index) { return ([index], 1) }
    let identifiers = items.indices.map { index in
      if case .scalar(let text, _)? = items[index]["step_id"]?.content {
        text
      } else {
        StepConfiguration.defaultID(index)
      }
    }
    for used in stride(from: names.count, through: 1, by: -1) {
      let joined = names.prefix(used).joined(separator: ".")
      if walked == "steps", let index = identifiers.firstIndex(of: joined) { return ([index], used) }
    }
    let choice = walked == "steps" ? ", or a step_id: \(identifiers.joined(separator: ", "))" : ""
    throw failure(
      "\(walked) has no item \"\(name)\"",
      remedy: items.isEmpty ? "\(walked) is empty" : "use an index from 0 to \(items.count - 1)\(choice)")
  }
}
