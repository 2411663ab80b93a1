import Foundation
import Platform

/// The growth of rotary angles (Su et al., 2021) with the position, as `rope_theta` and `rope_scaling` define it.
package struct RotaryScaling: Sendable, Equatable {
  /// The scaling of the frequencies, which keeps the angles of longer contexts in the range seen in training.
  package enum Kind: Sendable, Equatable {
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
  init(_ configuration: ModelConfiguration) throws {
    let isScaled = configuration.json["rope_scaling"].map { !$0.isNull && $0.object?.isEmpty != true } ?? false
    let key = isScaled ? "rope_scaling" : "rope_parameters"
    let source = configuration.source
    let given = configuration.json[key] ?? .null
    guard let table = given.isNull ? [:] : given.object else {
      throw RetortError(.input, "\(key) is \(given.text()), an object was expected", at: source)
    }
    let keys = RotaryKeys(table: table, name: key, source: source)
    let plain = try RotaryKeys(table: configuration.json, name: nil, source: source)
      .number("rope_theta", default: 10_000, above: 0)
    theta = try keys.number("rope_theta", default: plain, above: 0)
    let turned = configuration.json["partial_rotary_factor"] ?? table["partial_rotary_factor"] ?? 1
    if turned.double != 1 {
      throw RetortError(.input, "partial_rotary_factor is \(turned.text()): only 1 is built", at: source)
    }
    switch try keys.type() {
    case "default": kind = .plain
    case "linear": kind = .linear(factor: try keys.number("factor", above: 0))
    case "llama3":
      let old = try keys.number(
        "original_max_position_embeddings", default: Double(try configuration.size("max_position_embeddings")),
        above: 0)
      let low = try keys.number("low_freq_factor", above: 0)
      kind = .llama3(
        factor: try keys.number("factor", above: 0), low: low,
        high: try keys.number("high_freq_factor", above: low), oldContext: Int(min(old, 1e12)))
    case let other:
      throw RetortError(
        .input, "\(key) of type \"\(other)\" is not built", at: source,
        remedy: "there are: default, linear, llama3")
    }
  }
}

/// The object under `rope_parameters` or `rope_scaling`, or the configuration itself.
private struct RotaryKeys {
  let table: [String: JSON]
  let name: String?
  let source: String

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
