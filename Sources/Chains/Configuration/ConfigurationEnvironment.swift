import Platform

extension ConfigurationNode {
  /// The tree with `${NAME}` and `${NAME:-default}` replaced in every value (never in keys).
  ///
  /// The default replaces a variable that is unset or empty. `$${` is a literal `${`.
  /// - Throws: `.configuration` with file, line and variable for one that is unset and has no default.
  func expandingEnvironment(_ environment: [String: String], file: String, path: String = "") throws
    -> ConfigurationNode
  {
    func below(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }
    var copy = self
    switch content {
    case .scalar(let text, let quoted):
      guard text.contains("${") else { return self }
      let location = ConfigurationCursor.location(origin, path, file)
      copy.content = .scalar(try expand(text, environment, location), quoted: quoted)
    case .sequence(let items):
      copy.content = .sequence(
        try items.enumerated().map { index, item in
          try item.expandingEnvironment(environment, file: file, path: below(String(index)))
        })
    case .mapping(let entries):
      copy.content = .mapping(
        try entries.map { entry in
          var entry = entry
          entry.value = try entry.value.expandingEnvironment(environment, file: file, path: below(entry.key))
          return entry
        })
    }
    return copy
  }
}

private func expand(_ text: String, _ environment: [String: String], _ location: String) throws -> String {
  var out = ""
  var rest = Substring(text)
  while let start = rest.firstRange(of: "${") {
    let before = rest[..<start.lowerBound]
    if before.hasSuffix("$") {
      out += before.dropLast() + "${"
      rest = rest[start.upperBound...]
      continue
    }
    guard let end = rest[start.upperBound...].firstIndex(of: "}") else {
      throw RetortError(.configuration, "has \"${\" without \"}\"", at: location, remedy: "write $${ for a literal ${")
    }
    out += before + (try value(of: rest[start.upperBound..<end], environment, location))
    rest = rest[rest.index(after: end)...]
  }
  return out + rest
}

private func value(of reference: Substring, _ environment: [String: String], _ location: String) throws -> String {
  let separator = reference.firstRange(of: ":-")
  let name = String(reference[..<(separator?.lowerBound ?? reference.endIndex)])
  guard let first = name.utf8.first, !(48...57).contains(first),
    name.utf8.allSatisfy({ $0 == 95 || (48...57).contains($0) || (65...90).contains($0 & 0xDF) })
  else {
    throw RetortError(
      .configuration, "\"${\(reference)}\" does not name an environment variable", at: location,
      remedy: "write ${NAME} or ${NAME:-default}, and $${ for a literal ${")
  }
  if let found = environment[name], !(found.isEmpty && separator != nil) { return found }
  if let separator { return String(reference[separator.upperBound...]) }
  throw RetortError(
    .configuration, "the environment variable \(name) is not set", at: location,
    remedy: "export \(name)=…, or give a default: ${\(name):-…}")
}
