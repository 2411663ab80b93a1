import Platform

/// An option that a kind of objective has in a chain file, with its range and what it is when it is left out.
public struct ObjectiveOption: Sendable {
  /// What the option's value may be.
  public enum Domain: Sendable {
    /// A number of a range, both ends included.
    case number(ClosedRange<Double>, default: Double)
    /// A number above 0, or one that changes over the stage: `{from, to, shape}`.
    case schedule(default: Double)
    /// A whole number of 1 or more; nil where the models decide.
    case count
    /// One of some words.
    case word([String], default: String)
    /// true or false.
    case flag(default: Bool)
    /// `uniform`, `last`, or a map from student to teacher.
    case layers(default: LayerMap)
  }

  /// The key.
  public let name: String
  public let domain: Domain

  /// An option of this name.
  public init(_ name: String, _ domain: Domain) {
    self.name = name
    self.domain = domain
  }

  /// The softmax temperature T of both models.
  static let temperature = ObjectiveOption("temperature", .schedule(default: 2))
  /// The student's and the teacher's layers that are compared.
  static func layers(default map: LayerMap = .uniform) -> ObjectiveOption {
    ObjectiveOption("layers", .layers(default: map))
  }
  /// Whether the pairs count as a mean and not as a sum.
  static let averageLayers = ObjectiveOption("average_layers", .flag(default: false))
  /// Whether a trained linear layer brings the student's width to the teacher's.
  static let projection = ObjectiveOption("projection", .word(["auto", "always", "none"], default: "auto"))
  /// Whether all pairs have the same projection.
  static let shared = ObjectiveOption("shared", .flag(default: false))

  /// What the option is when it is left out; nil where the models decide.
  public var defaultValue: OptionValue? {
    switch domain {
    case .number(_, let value): .number(value)
    case .schedule(let value): .schedule(Scheduled(value))
    case .count: nil
    case .word(_, let value): .word(value)
    case .flag(let value): .flag(value)
    case .layers(let map): .layers(map)
    }
  }

  /// The default and the range in words, for the table of the docs.
  public var text: String {
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
public enum OptionValue: Sendable, Equatable {
  case number(Double)
  case schedule(Scheduled)
  case count(Int)
  case word(String)
  case flag(Bool)
  case layers(LayerMap)

  /// As it is written in a chain file.
  public var json: JSON {
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

/// The options of one objective by name, defaults filled in.
public struct ObjectiveOptions: Sendable, Equatable {
  private var values: [String: OptionValue]

  /// The values that are given, and the defaults of a kind for all others.
  public init(_ given: [String: OptionValue] = [:], of options: [ObjectiveOption]) {
    values = Dictionary(options.compactMap { option in option.defaultValue.map { (option.name, $0) } }) { $1 }
      .merging(given) { $1 }
  }

  func setting(_ name: String, _ value: OptionValue) -> ObjectiveOptions {
    var options = self
    options.values[name] = value
    return options
  }

  /// A number; NaN where the kind has no such option.
  func number(_ name: String) -> Double {
    if case .number(let value)? = values[name] { value } else { .nan }
  }

  /// A number that may change over the stage; 1 where the kind has no such option.
  func schedule(_ name: String) -> Scheduled {
    if case .schedule(let value)? = values[name] { value } else { Scheduled(1) }
  }

  /// A whole number, where one is given.
  func count(_ name: String) -> Int? {
    if case .count(let value)? = values[name] { value } else { nil }
  }

  /// A word; empty where the kind has no such option.
  func word(_ name: String) -> String {
    if case .word(let value)? = values[name] { value } else { "" }
  }

  /// A flag; false where the kind has no such option.
  func flag(_ name: String) -> Bool { values[name] == .flag(true) }

  /// The layers that are compared.
  var layers: LayerMap {
    if case .layers(let map)? = values["layers"] { map } else { .uniform }
  }

  /// Every value, by the names of the chain file.
  public var json: [String: JSON] { values.mapValues(\.json) }
}
