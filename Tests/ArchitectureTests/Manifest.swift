import Foundation

/// What Package.swift says about targets, read as text: names in their order, and the dependencies of each.
struct Manifest {
  struct Target: Equatable {
    let name: String
    let dependencies: [String]
    let isTest: Bool
  }

  /// The targets in the order of the table.
  let targets: [Target]

  /// Reads the text after `targets: [`: calls such as `library("Name", ["Dependency"])` and
  /// `.target(name: "Name", dependencies: ["Dependency"])`.
  init(_ text: String) {
    // Blanking comments keeps a commented-out target out of the table.
    let code = text.split(separator: "\n", omittingEmptySubsequences: false)
      .map { $0.drop(while: { $0 == " " }).hasPrefix("//") ? "" : String($0) }.joined(separator: "\n")
    guard let start = code.range(of: "\n  targets: [") else {
      targets = []
      return
    }
    let table = code[start.upperBound...]
    let call = /\b(systemLibrary|target|executableTarget|library|testTarget|tests)\(/
    targets = table.matches(of: call).compactMap { match in
      let body = Manifest.balanced(table[match.range.upperBound...])
      guard let name = body.firstMatch(of: /"([^"]+)"/) else { return nil }
      let rest = body[name.range.upperBound...]
      // The list follows the name directly, or is labelled; other lists (providers, settings) are something else.
      let list = rest.prefixMatch(of: /\s*,\s*(?:dependencies:\s*)?\[/).map { rest[$0.range.upperBound...] }
      let names = list.map { $0.prefix { $0 != "]" }.matches(of: /"([^"]+)"/).map { String($0.output.1) } }
      return Target(
        name: String(name.output.1), dependencies: names ?? [], isTest: match.output.1.hasPrefix("test"))
    }
  }

  /// The text up to the parenthesis that closes the one before it.
  private static func balanced(_ text: Substring) -> Substring {
    var depth = 1
    for index in text.indices {
      if text[index] == "(" { depth += 1 }
      if text[index] == ")" { depth -= 1 }
      if depth == 0 { return text[..<index] }
    }
    return text
  }

  /// The names of targets that stand above a target.
  func above(_ name: String) -> Set<String> { Set(targets.prefix { $0.name != name }.map(\.name)) }
}

/// The module names that a file imports, each with its line number.
func imports(of file: Checkout.File) -> [(module: String, line: Int)] {
  let statement =
    /^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|package|internal|fileprivate|private)\s+)?import\s+(?:(?:struct|class|enum|protocol|typealias|func|var|let)\s+)?(\w+)/
  return file.lines.enumerated().compactMap { index, line in
    line.firstMatch(of: statement).map { (String($0.output.1), index + 1) }
  }
}
