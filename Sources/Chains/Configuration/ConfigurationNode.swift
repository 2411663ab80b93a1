import Foundation
import Platform
import Yams

/// The origin of a value: a line of the chain file, or an override on the command line.
enum Origin: Sendable, Equatable {
  case line(Int)
  case override(String)

  /// `FILE:LINE`, or `--set KEY`.
  func text(file: String) -> String {
    switch self {
    case .line(let line): "\(file):\(line)"
    case .override(let key): "--set \(key)"
    }
  }
}

/// One value of a chain file before its meaning is known: text, list or mapping, with its origin.
///
/// Aliases are replaced by copies and merge keys (`<<`) are resolved, so later passes see plain trees.
struct ConfigurationNode: Sendable {
  enum Content: Sendable {
    /// `quoted` text is never null, true or false.
    case scalar(String, quoted: Bool)
    case sequence([ConfigurationNode])
    case mapping([Entry])
  }

  /// A key of a mapping; entries keep the order of the file.
  struct Entry: Sendable {
    var key: String
    var origin: Origin
    var value: ConfigurationNode
  }

  var content: Content
  var origin: Origin

  /// Whether this is YAML's null: an empty value, `~` or `null` without quotes.
  var isNull: Bool {
    if case .scalar(let text, quoted: false) = content {
      ["", "~", "null", "Null", "NULL"].contains(text)
    } else {
      false
    }
  }

  /// The member of a mapping, or nil.
  subscript(key: String) -> ConfigurationNode? {
    guard case .mapping(let entries) = content else { return nil }
    return entries.first { $0.key == key }?.value
  }

  /// A mapping with one more member, a word.
  func adding(_ key: String, _ word: String) -> ConfigurationNode {
    guard case .mapping(let entries) = content else { return self }
    let value = ConfigurationNode(content: .scalar(word, quoted: false), origin: origin)
    return ConfigurationNode(
      content: .mapping(entries + [Entry(key: key, origin: origin, value: value)]), origin: origin)
  }

  /// The kind of the value, for messages: "a list", "null", a text in quotes.
  var kindText: String {
    switch content {
    case .scalar(let text, let quoted):
      if isNull { "null" } else { quoted ? "the text \"\(text)\"" : "\"\(text)\"" }
    case .sequence: "a list"
    case .mapping: "a mapping"
    }
  }
}

extension ConfigurationNode {
  /// Parses YAML text; nil for a text without a document.
  ///
  /// - Parameter origin: replaces line numbers if the text is not from the file.
  /// - Throws: `.configuration` with file and line.
  init?(parsing yaml: String, file: String, origin: Origin? = nil) throws {
    let root: Node?
    do { root = try Yams.compose(yaml: yaml, .default, .default, .utf8) } catch let error as YamlError {
      throw ConfigurationNode.refusal(error, yaml: yaml, file: file, origin: origin)
    }
    guard let root else { return nil }
    var budget = 100_000
    self = try ConfigurationNode.convert(root, file: file, origin: origin, budget: &budget)
  }

  /// - Parameter budget: the number of nodes still allowed, since nested aliases can make a small file explode.
  private static func convert(_ node: Node, file: String, origin: Origin?, budget: inout Int) throws
    -> ConfigurationNode
  {
    let here = origin ?? .line(node.mark?.line ?? 1)
    budget -= 1
    guard budget > 0 else {
      throw RetortError(
        .configuration, "has more than 100,000 values once its aliases are followed", at: here.text(file: file))
    }
    switch node {
    case .scalar(let scalar):
      let plain = scalar.style == .plain || scalar.style == .any
      let quoted = !plain || scalar.tag.rawValue == Tag.Name.str.rawValue
      return ConfigurationNode(content: .scalar(scalar.string, quoted: quoted), origin: here)
    case .sequence(let sequence):
      var items: [ConfigurationNode] = []
      for item in sequence { items.append(try convert(item, file: file, origin: origin, budget: &budget)) }
      return ConfigurationNode(content: .sequence(items), origin: here)
    case .mapping(let mapping):
      let entries = try convert(mapping, file: file, origin: origin, budget: &budget)
      return ConfigurationNode(content: .mapping(entries), origin: here)
    case .alias:
      throw RetortError(.configuration, "has an alias to nothing", at: here.text(file: file))
    }
  }

  private static func convert(_ mapping: Node.Mapping, file: String, origin: Origin?, budget: inout Int) throws
    -> [Entry]
  {
    var own: [Entry] = []
    var merged: [Entry] = []
    for (key, value) in mapping {
      let here = origin ?? .line(key.mark?.line ?? 1)
      guard case .scalar(let name) = key else {
        throw RetortError(
          .configuration, "a key is a list or a mapping, a name was expected", at: here.text(file: file))
      }
      let converted = try convert(value, file: file, origin: origin, budget: &budget)
      if name.string == "<<", name.style == .plain {
        merged += try mergedEntries(converted, file: file)
      } else {
        own.append(Entry(key: name.string, origin: here, value: converted))
      }
    }
    // A key of this mapping overrides a merged one, and an earlier merged mapping overrides a later one.
    for entry in merged where !own.contains(where: { $0.key == entry.key }) { own.append(entry) }
    return own
  }

  private static func mergedEntries(_ node: ConfigurationNode, file: String) throws -> [Entry] {
    switch node.content {
    case .mapping(let entries): return entries
    case .sequence(let items): return try items.flatMap { try mergedEntries($0, file: file) }
    case .scalar:
      throw RetortError(
        .configuration, "the merge key << has \(node.kindText), a mapping or a list of mappings was expected",
        at: node.origin.text(file: file))
    }
  }

  /// The parser's error as a `RetortError` with its location.
  private static func refusal(_ error: YamlError, yaml: String, file: String, origin: Origin?) -> RetortError {
    func located(_ line: Int?) -> String {
      if let origin { return origin.text(file: file) }
      return line.map { "\(file):\($0)" } ?? file
    }
    switch error {
    case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
      .composer(let context, let problem, let mark, _):
      let opening = context.map { " (\($0.text), line \($0.mark.line))" } ?? ""
      let lines = yaml.split(separator: "\n", omittingEmptySubsequences: false)
      let hasReference = mark.line <= lines.count && lines[mark.line - 1].contains("${")
      return RetortError(
        .configuration, "is not valid YAML: \(problem)\(opening), column \(mark.column)", at: located(mark.line),
        remedy: hasReference ? "inside { } and [ ] an environment reference needs quotes: \"${NAME}\"" : nil)
    case .duplicatedKeysInMapping(let keys, let context):
      let names = keys.map { "\"\($0)\"" }.joined(separator: ", ")
      return RetortError(
        .configuration, "the key \(names) is written more than once in one mapping", at: located(context.mark.line),
        remedy: "keep one of them")
    case .reader(let problem, let offset, _, _):
      let line = offset.map { yaml.prefix($0).count(where: \.isNewline) + 1 }
      return RetortError(.configuration, "is not valid YAML: \(problem)", at: located(line))
    default:
      return RetortError(.configuration, "is not valid YAML: \(error)", at: located(nil))
    }
  }
}
