import Platform

/// A chain file option of a kind of objective, with its range and default.
package struct ObjectiveOption: Sendable {
  /// The allowed values of the option.
  package enum Domain: Sendable {
    /// A number in a closed range.
    case number(ClosedRange<Double>, default: Double)
    /// A number above 0, or a schedule over the stage: `{from, to, shape}`.
    case schedule(default: Double)
    /// A whole number of 1 or more; without one the models decide.
    case count
    /// One of the listed words.
    case word([String], default: String)
    /// true or false.
    case flag(default: Bool)
    /// `uniform`, `last`, or a map from student to teacher.
    case layers(default: LayerMap)
  }

  /// The key.
  package let name: String
  package let domain: Domain

  /// Creates an option with this name.
  package init(_ name: String, _ domain: Domain) {
    self.name = name
    self.domain = domain
  }

  /// The softmax temperature T of both models.
  static let temperature = ObjectiveOption("temperature", .schedule(default: 2))
  /// The layer map between student and teacher.
  static func layers(default map: LayerMap = .uniform) -> ObjectiveOption {
    ObjectiveOption("layers", .layers(default: map))
  }
  /// Whether the term is the mean over pairs instead of their sum.
  static let averageLayers = ObjectiveOption("average_layers", .flag(default: false))
  /// Whether a trained linear layer projects the student's width to the teacher's.
  static let projection = ObjectiveOption("projection", .word(["auto", "always", "none"], default: "auto"))
  /// Whether all pairs share one projection.
  static let shared = ObjectiveOption("shared", .flag(default: false))

  /// The default; nil if the models decide.
  package var defaultValue: OptionValue? {
    switch domain {
    case .number(_, let value): .number(value)
    case .schedule(let value): .schedule(Scheduled(value))
    case .count: nil
    case .word(_, let value): .word(value)
    case .flag(let value): .flag(value)
    case .layers(let map): .layers(map)
    }
  }

  /// The default and the range in words, for the docs table.
  package var text: String {
    func text(_ value: Double) -> String { Int(exactly: value).map(grouped) ?? "\(value)" }
    return words(text)
  }

  private func words(_ text: (Double) -> String) -> String {
    switch domain {
    case .number(let range, let value):
      "`\(name)` \(text(value)) (\(text(range.lowerBound)) to \(text(range.upperBound)))"
    case .schedule(let value): "`\(name)` \(text(value)) (above 0, or a schedule)"
    case .count: "`\(name)` (1 or more; default: the student's heads)"
    case .word(let words, let value): "`\(name)` \(value) (\(words.joined(separator: ", ")))"
    case .flag(let value): "`\(name)` \(value)"
    case .layers(let map): "`\(name)` \(map == .last ? "last" : "uniform") (uniform, last, or a map)"
    }
  }
}

/// The value of an option.
package enum OptionValue: Sendable, Equatable {
  case number(Double)
  case schedule(Scheduled)
  case count(Int)
  case word(String)
  case flag(Bool)
  case layers(LayerMap)

  /// The value in a chain file.
  package var json: JSON {
    switch self {
    case .number(let value): .double(value)
    case .schedule(let value): value.json
    case .count(let value): .int(value)
    case .word(let value): .string(value)
    case .flag(let value): .bool(value)
    case .layers(let map): map.json
    }
  }
}

/// The options of one objective by name, including defaults.
package struct ObjectiveOptions: Sendable, Equatable {
  private var values: [String: OptionValue]

  /// Combines the given values with the kind's defaults.
  package init(_ given: [String: OptionValue] = [:], of options: [ObjectiveOption]) {
    values = Dictionary(options.compactMap { option in option.defaultValue.map { (option.name, $0) } }) { $1 }
      .merging(given) { $1 }
  }

  func setting(_ name: String, _ value: OptionValue) -> ObjectiveOptions {
    var options = self
    options.values[name] = value
    return options
  }

  /// A number; NaN if the kind lacks the option.
  func number(_ name: String) -> Double {
    if case .number(let value)? = values[name] { value } else { .nan }
  }

  /// A number or schedule; 1 if the kind lacks the option.
  package func schedule(_ name: String) -> Scheduled {
    if case .schedule(let value)? = values[name] { value } else { Scheduled(1) }
  }

  /// A whole number; nil without a value.
  func count(_ name: String) -> Int? {
    if case .count(let value)? = values[name] { value } else { nil }
  }

  /// A word; empty if the kind lacks the option.
  func word(_ name: String) -> String {
    if case .word(let value)? = values[name] { value } else { "" }
  }

  /// A flag; false if the kind lacks the option.
  func flag(_ name: String) -> Bool { values[name] == .flag(true) }

  /// The layer map.
  var layers: LayerMap {
    if case .layers(let map)? = values["layers"] { map } else { .uniform }
  }

  /// Every value under its chain file key.
  package var json: [String: JSON] { values.mapValues(\.json) }
}
