import Foundation
import Platform

/// A value of the chain file with its key path; reads it as the type that a key needs, or throws with its location.
struct ConfigurationCursor {
  let node: ConfigurationNode
  let path: String
  let file: String
  /// Whether a message about a misplaced key names its place in a chain file.
  var isOfChain = true

  /// `FILE:LINE: KEY.PATH`
  var location: String { ConfigurationCursor.location(node.origin, path, file) }

  static func location(_ origin: Origin, _ path: String, _ file: String) -> String {
    let place = origin.text(file: file)
    return path.isEmpty || place == "--set \(path)" ? place : "\(place): \(path)"
  }

  func failure(_ what: String, remedy: String? = nil) -> RetortError {
    RetortError(.configuration, what, at: location, remedy: remedy)
  }

  var isNull: Bool { node.isNull }

  /// The value of a key of a mapping, whose other keys are not looked at.
  func member(_ name: String) -> ConfigurationCursor? { node[name].map { child(name, $0) } }

  private func child(_ name: String, _ node: ConfigurationNode) -> ConfigurationCursor {
    ConfigurationCursor(node: node, path: path.isEmpty ? name : "\(path).\(name)", file: file, isOfChain: isOfChain)
  }
}

/// The members of a mapping whose keys have been checked.
struct ConfigurationMembers {
  let owner: ConfigurationCursor
  private let members: [String: ConfigurationCursor]

  init(owner: ConfigurationCursor, members: [String: ConfigurationCursor]) {
    self.owner = owner
    self.members = members
  }

  /// The value of a key as written, also null; nil if the key is absent.
  subscript(key: String) -> ConfigurationCursor? { members[key] }

  /// The value of a key unless it is absent or null.
  func present(_ key: String) -> ConfigurationCursor? { members[key].flatMap { $0.isNull ? nil : $0 } }

  /// The value of a key without a default.
  func required(_ key: String) throws -> ConfigurationCursor {
    if let member = present(key) { return member }
    let known = members[key] ?? owner
    let path = owner.path.isEmpty ? key : "\(owner.path).\(key)"
    throw RetortError(
      .configuration, "is required and \(members[key] == nil ? "missing" : "null")",
      at: ConfigurationCursor.location(known.node.origin, path, owner.file))
  }
}

extension ConfigurationCursor {
  /// The members of a mapping; null counts as an empty mapping.
  ///
  /// - Throws: for another kind of value and for a key that is not in `known`.
  func members(known: [String]) throws -> ConfigurationMembers {
    if isNull { return ConfigurationMembers(owner: self, members: [:]) }
    guard case .mapping(let entries) = node.content else {
      throw failure("is \(node.kindText), a mapping was expected", remedy: "its keys are \(list(known))")
    }
    var members: [String: ConfigurationCursor] = [:]
    for entry in entries {
      if !known.contains(entry.key) { throw unknownKey(entry, known) }
      members[entry.key] = child(entry.key, entry.value)
    }
    return ConfigurationMembers(owner: self, members: members)
  }

  func unknownKey(_ entry: ConfigurationNode.Entry, _ known: [String]) -> RetortError {
    let place = ConfigurationCursor.location(entry.origin, child(entry.key, entry.value).path, file)
    if isOfChain, let home = Keys.home(of: entry.key) {
      return RetortError(
        .configuration, "unknown key here; \"\(entry.key)\" belongs in \(home)", at: place,
        remedy: "the keys here are \(list(known))")
    }
    if let near = nearestName(to: entry.key, among: known) {
      return RetortError(.configuration, "unknown key; did you mean \"\(near)\"?", at: place)
    }
    return RetortError(.configuration, "unknown key", at: place, remedy: "the keys here are \(list(known))")
  }

  private func list(_ names: [String]) -> String { names.joined(separator: ", ") }

  /// The items of a list.
  func items() throws -> [ConfigurationCursor] {
    guard case .sequence(let items) = node.content else { throw failure("is \(node.kindText), a list was expected") }
    return items.enumerated().map { child(String($0), $1) }
  }

  /// A text that is not empty; numbers and words without quotes keep their spelling.
  func string() throws -> String {
    guard case .scalar(let text, _) = node.content, !isNull else {
      throw failure("is \(node.kindText), a text was expected")
    }
    if text.allSatisfy(\.isWhitespace) { throw failure("is an empty text") }
    return text
  }

  /// A text of one line without control characters, which messages and records can show as it is.
  func name() throws -> String {
    let text = try string()
    if text.unicodeScalars.contains(where: {
      CharacterSet.controlCharacters.contains($0) || $0.properties.isWhitespace && $0 != " "
    }) {
      throw failure("is \(JSON.string(text).text()), which has a control character", remedy: "write a name of one line")
    }
    return text
  }

  /// A list of texts, or one text alone.
  func strings() throws -> [String] {
    if case .scalar = node.content { return [try string()] }
    return try items().map { try $0.string() }
  }

  /// A list of texts that is not empty, or one text alone.
  func texts() throws -> [String] {
    let texts = try strings()
    if texts.isEmpty { throw failure("is an empty list") }
    return texts
  }

  /// `true` or `false`; yes, no, on and off mean the same.
  func flag() throws -> Bool {
    if case .scalar(let text, _) = node.content {
      if ["true", "yes", "on"].contains(text.lowercased()) { return true }
      if ["false", "no", "off"].contains(text.lowercased()) { return false }
    }
    throw failure("is \(node.kindText), true or false was expected")
  }

  /// A finite number within `allowed`, quoted or not.
  func number(_ allowed: AllowedNumbers) throws -> Double {
    guard case .scalar(let text, _) = node.content, !isNull, let value = NumberText.double(text) else {
      throw failure("is \(node.kindText), a number was expected", remedy: "allowed: \(allowed.text)")
    }
    guard value.isFinite, allowed.contains(value) else {
      throw failure("is \(text), which is outside the allowed range", remedy: "allowed: a number, \(allowed.text)")
    }
    return value
  }

  /// A whole number within `allowed`; `32.0` and "32" are whole numbers too.
  func integer<Number: FixedWidthInteger>(_ allowed: AllowedNumbers, as type: Number.Type = Int.self) throws -> Number {
    guard case .scalar(let text, _) = node.content, !isNull, let value = NumberText.double(text) else {
      throw failure("is \(node.kindText), a whole number was expected", remedy: "allowed: \(allowed.text)")
    }
    guard let whole = NumberText.integer(text, as: type), allowed.contains(value) else {
      throw failure(
        "is \(text), which is outside the allowed range", remedy: "allowed: a whole number, \(allowed.text)")
    }
    return whole
  }

  /// A number of bytes, 0 or more: a number alone or with a unit, such as `500 MB`, `2GB` or `1.5 GiB`.
  func bytes() throws -> Int {
    guard case .scalar(let text, _) = node.content, !isNull, let count = NumberText.bytes(text) else {
      throw failure("is \(node.kindText), a size was expected", remedy: "allowed: a size such as 500MB, 2GB or 1.5GiB")
    }
    return count
  }

  /// One word of an enumeration.
  func word<Word: RawRepresentable & CaseIterable>(_ type: Word.Type) throws -> Word where Word.RawValue == String {
    let text = try string()
    if let word = Word(rawValue: text) { return word }
    let known = Word.allCases.map(\.rawValue)
    let near = nearestName(to: text, among: known).map { "did you mean \"\($0)\"? Allowed" } ?? "allowed"
    throw failure("is \"\(text)\"", remedy: "\(near): \(list(known))")
  }
}
