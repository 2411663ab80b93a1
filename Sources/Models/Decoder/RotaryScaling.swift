import Foundation
import Platform

/// The growth of rotary angles (Su et al., 2021) with the position, as `rope_theta` and `rope_scaling` define it.
package struct RotaryScaling: Sendable, Hashable {
  /// The scaling of the frequencies, which keeps the angles of longer contexts in the range seen in training.
  package enum Kind: Sendable, Hashable {
    /// No scaling.
    case plain
    /// Divides all frequencies by a factor.
    case linear(factor: Double)
    /// Llama 3.1: divides frequencies whose wavelength exceeds the old context over `low` by the factor, keeps those
    /// whose wavelength is below the old context over `high`, and interpolates between the two.
    case llama3(factor: Double, low: Double, high: Double, oldContext: Int)
  }

  /// `rope_theta`: the base of the geometric series of frequencies.
  package let theta: Double
  /// The scaling of the frequencies.
  package let kind: Kind

  /// Creates rotary angles with this base and scaling.
  package init(theta: Double, kind: Kind = .plain) {
    self.theta = theta
    self.kind = kind
  }

  /// The angle of position 1 for each pair of elements of a head of even size D: θ^(−2i/D), scaled; [D/2].
  package func frequencies(headSize: Int) -> [Double] {
    stride(from: 0, to: headSize, by: 2).map { scaled(pow(theta, -Double($0) / Double(headSize))) }
  }

  private func scaled(_ frequency: Double) -> Double {
    switch kind {
    case .plain: return frequency
    case .linear(let factor): return frequency / factor
    case .llama3(let factor, let low, let high, let oldContext):
      let wave = 2 * Double.pi / frequency
      if wave < Double(oldContext) / high { return frequency }
      if wave > Double(oldContext) / low { return frequency / factor }
      let share = (Double(oldContext) / wave - low) / (high - low)
      return (1 - share) * frequency / factor + share * frequency
    }
  }
}

extension RotaryScaling {
  /// Reads `rope_scaling`, or without it `rope_parameters`, with the precedence of `transformers`; throws `.input`
  /// naming file and key.
  ///
  /// - Parameter base: θ if no key has it.
  init(_ configuration: ModelConfiguration, base: Double = 10_000) throws {
    let isScaled = configuration.json["rope_scaling"].map { !$0.isNull && $0.object?.isEmpty != true } ?? false
    let key = isScaled ? "rope_scaling" : "rope_parameters"
    let source = configuration.source
    let given = configuration.json[key] ?? .null
    guard let table = given.isNull ? [:] : given.object else {
      throw RetortError(.input, "\(key) is \(given.text()), an object was expected", at: source)
    }
    let keys = RotaryKeys(table: table, name: key, source: source)
    let plain = try RotaryKeys(table: configuration.json, name: nil, source: source)
      .number("rope_theta", default: base, above: 0)
    theta = try keys.number("rope_theta", default: plain, above: 0)
    let turned = configuration.json["partial_rotary_factor"] ?? table["partial_rotary_factor"] ?? 1
    if turned.double != 1 {
      throw RetortError(.input, "partial_rotary_factor is \(turned.text()): only 1 is built", at: source)
    }
    kind = try keys.kind(context: { try configuration.size("max_position_embeddings") })
  }

  /// Reads what `rope_parameters` has for one kind of layer, with the precedence of `transformers`; throws `.input`
  /// naming file and key.
  ///
  /// - Parameters:
  ///   - layers: the kind of layer, a key of `rope_parameters`.
  ///   - key: the key of θ in older files.
  ///   - base: θ if no key has it.
  ///   - isScaled: whether `rope_scaling` of older files is for these layers.
  init(
    _ configuration: ModelConfiguration, of layers: String, thetaKey key: String, base: Double, isScaled: Bool
  ) throws {
    let source = configuration.source
    func object(_ value: JSON?, _ name: String) throws -> [String: JSON] {
      guard let value, !value.isNull else { return [:] }
      if let object = value.object { return object }
      throw RetortError(.input, "\(name) is \(value.text()), an object was expected", at: source)
    }
    let all = try object(configuration.json["rope_parameters"], "rope_parameters")
    if let stray = all.first(where: { $0.value.object == nil && !$0.value.isNull }) {
      throw RetortError(
        .input, "rope_parameters.\(stray.key) is \(stray.value.text()), an object for a kind of layer was expected",
        at: source, remedy: "list the values under full_attention and sliding_attention")
    }
    var table = try object(all[layers], "rope_parameters.\(layers)")
    if isScaled { table.merge(try object(configuration.json["rope_scaling"], "rope_scaling")) { _, new in new } }
    let keys = RotaryKeys(table: table, name: "rope_parameters.\(layers)", source: source)
    let plain = try RotaryKeys(table: configuration.json, name: nil, source: source)
      .number(key, default: base, above: 0)
    theta = try keys.number("rope_theta", default: plain, above: 0)
    if let turned = table["partial_rotary_factor"], turned.double != 1 {
      throw RetortError(.input, "partial_rotary_factor is \(turned.text()): only 1 is built", at: source)
    }
    kind = try keys.kind(context: { try configuration.size("max_position_embeddings") })
  }
}

/// The object under `rope_parameters` or `rope_scaling`, or the configuration itself.
private struct RotaryKeys {
  let table: [String: JSON]
  let name: String?
  let source: String

  /// The scaling, for a model of this context where the keys do not name an older one.
  func kind(context: () throws -> Int) throws -> RotaryScaling.Kind {
    switch try type() {
    case "default": return .plain
    case "linear": return .linear(factor: try number("factor", above: 0))
    case "llama3":
      let old = try number("original_max_position_embeddings", default: Double(try context()), above: 0)
      let low = try number("low_freq_factor", above: 0)
      return .llama3(
        factor: try number("factor", above: 0), low: low, high: try number("high_freq_factor", above: low),
        oldContext: Int(min(old, 1e12)))
    case let other:
      throw RetortError(
        .input, "\(name ?? "") of type \"\(other)\" is not built", at: source,
        remedy: "there are: default, linear, llama3")
    }
  }

  /// The type, under its present key `rope_type` or its older key `type`; "default" without either.
  func type() throws -> String {
    guard let value = table["rope_type"] ?? table["type"], !value.isNull else {
      // In a table per kind of layer every value is an object.
      if table.values.contains(where: { $0.object != nil }) {
        throw RetortError(.input, "\(name ?? "") differs from layer to layer: that is not built", at: source)
      }
      return "default"
    }
    guard let text = value.string else {
      throw RetortError(.input, "\(name ?? "").rope_type is \(value.text()), a name was expected", at: source)
    }
    return text
  }

  func number(_ key: String, default fallback: Double? = nil, above least: Double) throws -> Double {
    let place = name.map { "\($0).\(key)" } ?? key
    guard let value = table[key], !value.isNull else {
      if let fallback { return fallback }
      throw RetortError(.input, "the key \(place) is missing", at: source)
    }
    guard let number = value.double, number > least, number.isFinite else {
      throw RetortError(
        .input, "\(place) is \(value.text()), a number above \(JSON.double(least).text()) was expected", at: source)
    }
    return number
  }
}
