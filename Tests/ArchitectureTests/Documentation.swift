import Foundation

/// Finds public and package declarations that no doc comment speaks of.
///
/// A declaration is documented by a `///` line above it, attributes between them being skipped. One comment may
/// speak for a group: one-line declarations that follow each other without a blank line. No comment is asked of
/// what is documented elsewhere: the members of an extension that adds a conformance, members that have the name of
/// a requirement of one of the project's own protocols, and the usual witnesses of the standard library's.
struct Documentation {
  /// The names of requirements of all protocols in the files, such as "func send" and "var count".
  private let requirements: Set<String>

  init(of files: [Checkout.File]) {
    var found: Set<String> = []
    for file in files {
      var isProtocol = false
      for line in file.lines {
        if line.hasPrefix("}") { isProtocol = false }
        // Both stand at the beginning of a line, so the cheap test spares most lines the expensive one.
        if line.contains("protocol "), line.contains(Documentation.protocolHeader) { isProtocol = true }
        if isProtocol, let name = Documentation.member(line) { found.insert(name) }
      }
    }
    requirements = found
  }

  /// The line numbers of undocumented public and package declarations.
  func gaps(in file: Checkout.File) -> [Int] {
    var gaps: [Int] = []
    var isConformance = false
    for (index, line) in file.lines.enumerated() {
      // Top-level braces stand in the first column: an extension ends with a "}" there.
      if line.hasPrefix("}") { isConformance = false }
      if line.contains("extension "), line.contains(Documentation.conformance) { isConformance = true }
      guard !isConformance, Documentation.isDeclaration(line), !isWitness(line) else { continue }
      if !Documentation.isDocumented(index, file.lines) { gaps.append(index + 1) }
    }
    return gaps
  }

  private func isWitness(_ line: String) -> Bool {
    if line.contains(Documentation.standardWitness) { return true }
    return Documentation.member(line).map(requirements.contains) ?? false
  }

  private static func isDocumented(_ index: Int, _ lines: [String]) -> Bool {
    var above = index - 1
    while above >= 0 {
      let line = lines[above].drop { $0 == " " }
      if line.hasPrefix("///") || line.hasSuffix("*/") { return true }
      let isGroup = isDeclaration(lines[above]) && isOneLine(line)
      guard line.hasPrefix("@") || isGroup else { return false }
      above -= 1
    }
    return false
  }

  /// Whether a declaration ends on its line: nothing is left open.
  private static func isOneLine(_ line: Substring) -> Bool {
    func count(_ character: Character) -> Int { line.reduce(0) { $0 + ($1 == character ? 1 : 0) } }
    return count("{") == count("}") && count("(") == count(")") && count("[") == count("]")
  }

  /// The kind and name of a member that a protocol can require, if the line declares one.
  private static func member(_ line: String) -> String? {
    line.firstMatch(of: /\b(func|var)\s+(\w+)/).map { "\($0.output.1) \($0.output.2)" }
  }

  private static func isDeclaration(_ line: String) -> Bool {
    ["public ", "package ", "open "].contains(where: line.contains) && line.contains(declaration)
  }

  // Regular expressions are not Sendable, hence computed.
  private static var declaration: some RegexComponent {
    /^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:public|package|open)\s+(?:(?:final|static|class|nonisolated|mutating|consuming|borrowing|convenience|required|indirect|lazy|weak|\w+\(\w+\))\s+)*(?:func|var|let|struct|class|enum|protocol|init|typealias|subscript|actor)\b/
  }

  private static var standardWitness: some RegexComponent {
    /\bvar (?:description|debugDescription|errorDescription|hashValue|id|startIndex|endIndex)\b|\bfunc (?:==|<|hash|encode|index|makeIterator|next)\s*[<(]|\binit\((?:from|\w+Literal) |\boverride\b/
  }

  private static var conformance: some RegexComponent { /^(?:\w+ )*extension [\w.]+\s*:/ }
  private static var protocolHeader: some RegexComponent { /^(?:\w+ )*protocol \w+/ }
}
