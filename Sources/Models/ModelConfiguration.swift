import Autograd
import Platform

/// A model's `config.json`: the family, and all keys, also those that Retort does not know.
package struct ModelConfiguration: Sendable {
  /// The family that `model_type` names.
  package let family: ModelFamily
  /// All keys as read; written back with the student.
  package private(set) var json: [String: JSON]
  /// The path of the file, for messages.
  package let source: String

  /// - Parameters:
  ///   - json: the object; its `model_type` (or `family`) names the family.
  ///   - source: the file, for messages.
  /// Throws `.input` for an unknown family.
  package init(_ json: JSON, source: String) throws {
    guard var object = json.object else {
      throw RetortError(.input, "a model configuration is a JSON object", at: source)
    }
    let known = ModelFamily.allCases.map(\.rawValue).joined(separator: ", ")
    guard let type = (object["model_type"] ?? object["family"])?.string else {
      throw RetortError(.input, "no model_type", at: source, remedy: "add one of: \(known)")
    }
    guard let family = ModelFamily(rawValue: type) else {
      throw RetortError(
        .input, "model_type \"\(type)\" is not a family of Retort", at: source, remedy: "use one of: \(known)")
    }
    object["family"] = nil
    object["model_type"] = .string(type)
    self.family = family
    self.json = ModelConfiguration.named(object, family)
    self.source = source
  }

  /// Reads `config.json` of a model directory.
  package init(directory: String) throws {
    let path = joinPath(directory, "config.json")
    guard fileExists(path) else {
      throw RetortError(
        .input, "no config.json, so this is not a model directory", at: directory,
        remedy: "name a directory in Hugging Face layout")
    }
    try self.init(JSON(contentsOf: path), source: path)
  }

  /// The keys under the names that the family's config.json has; a key that is there under both keeps its own value.
  private static func named(_ keys: [String: JSON], _ family: ModelFamily) -> [String: JSON] {
    let aliases = family.definition.keyAliases
    if aliases.isEmpty { return keys }
    var named = keys.filter { aliases[$0.key] == nil }
    for (key, value) in keys {
      if let name = aliases[key], named[name] == nil { named[name] = value }
    }
    return named
  }

  /// The sizes of the model; throws `.input` naming file and key.
  package var sizes: any ModelSizes { get throws { try family.definition.sizes(self) } }

  /// The class names, if the configuration has them.
  package var labels: LabelNames? { LabelNames(configuration: .object(json)) }

  /// The same configuration for other classes.
  package func with(labels: LabelNames) -> ModelConfiguration {
    var copy = self
    labels.write(to: &copy.json)
    return copy
  }

  /// The same configuration with some keys set, and others removed.
  package func setting(_ values: [String: JSON], removing others: [String] = []) -> ModelConfiguration {
    var copy = self
    copy.json.merge(ModelConfiguration.named(values, family)) { _, new in new }
    for key in others { copy.json[key] = nil }
    return copy
  }

  /// The largest number of layers, since each is an object.
  static let mostLayers = 1 << 14

  /// The positive integer of a key; throws `.input` with file and key.
  func size(_ key: String, default fallback: Int? = nil, most: Int = 1 << 30) throws -> Int {
    guard let value = json[key], !value.isNull else {
      if let fallback { return fallback }
      throw RetortError(.input, "the key \(key) is missing", at: source)
    }
    guard let number = value.int, (1...most).contains(number) else {
      throw RetortError(
        .input, "\(key) is \(value.text()), a whole number from 1 to \(most) was expected", at: source)
    }
    return number
  }

  /// Throws `.input` if the sizes give more weights than any machine can address, so that later products of sizes
  /// (elements, bytes) cannot overflow.
  ///
  /// - Parameter weights: the sizes of the largest tensors.
  func requireBuildable(weights: [[Int]]) throws {
    let total = weights.reduce(0.0) { $0 + $1.reduce(1.0) { $0 * Double($1) } }
    if total > 0x1p42 {
      throw RetortError(
        .input, "a model of these sizes has \(total) weights", at: source,
        remedy: "check its sizes, such as vocab_size and hidden_size")
    }
  }

  /// The number of a key, in a closed range; null counts as missing.
  func number(_ key: String, default fallback: Double, in range: ClosedRange<Double>) throws -> Float {
    guard let value = json[key], !value.isNull else { return Float(fallback) }
    guard let number = value.double, range.contains(number) else {
      throw RetortError(.input, "\(key) is \(value.text()), a number in \(range) was expected", at: source)
    }
    return Float(number)
  }

  /// The Boolean under a key; null counts as missing.
  func flag(_ key: String, default fallback: Bool) throws -> Bool {
    guard let value = json[key], !value.isNull else { return fallback }
    guard let flag = value.bool else {
      throw RetortError(.input, "\(key) is \(value.text()), true or false was expected", at: source)
    }
    return flag
  }

  /// The value of a word under a key; null counts as missing.
  func choice<T>(_ key: String, _ words: [String: T], default fallback: T) throws -> T {
    guard let value = json[key], !value.isNull else { return fallback }
    guard let choice = value.string.flatMap({ words[$0] }) else {
      throw RetortError(
        .input, "\(key) is \(value.text()), \(words.keys.sorted().joined(separator: " or ")) was expected", at: source)
    }
    return choice
  }

  /// The activation under a key; throws `.input` for one that Retort does not have.
  func activation(_ key: String = "hidden_act", default fallback: Activation) throws -> Activation {
    guard let value = json[key], !value.isNull else { return fallback }
    guard let activation = value.string.flatMap(Activation.init(huggingFaceName:)) else {
      throw RetortError(
        .input, "\(key) \(value.text()) is not an activation of Retort", at: source,
        remedy: "use one of: \(Activation.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return activation
  }
}
