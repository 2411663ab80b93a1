import Foundation
import Platform
import Testing

/// The figures of an optimizer step, or of an evaluation: a line of `metrics.jsonl`.
struct Figures {
  let json: JSON

  /// A number of the line; NaN, which equals nothing, if there is none of this name.
  subscript(key: String) -> Double { json[key]?.double ?? .nan }
  var step: Int { json["step"]?.int ?? -1 }
  /// The value of each term of the loss, by name.
  var terms: [String: Double] { json["terms"]?.object?.mapValues { $0.double ?? .nan } ?? [:] }

  /// The loss, its terms and the norm of the gradient, by name.
  var losses: [(name: String, value: Double)] {
    ["loss", "ce", "kd", "gradient_norm"].map { ($0, self[$0]) }
      + terms.sorted { $0.key < $1.key }.map { ("term \($0.key)", $0.value) }
  }
}

/// Expects the figures of optimizer steps that PyTorch took, a line of JSON each: within 1e-4 of each, and 1e-3 of the
/// norm of a gradient.
func expectSteps(
  _ found: [Figures], of expected: [JSON], _ keys: [String], _ name: String,
  at place: SourceLocation = #_sourceLocation
) {
  #expect(found.count == expected.count, "\(name)", sourceLocation: place)
  for (step, wanted) in zip(found, expected) {
    for key in keys {
      let figure = wanted.number(key)
      let isNear = abs(step[key] - figure) <= (key == "gradient_norm" ? 1e-3 : 1e-4) * figure
      #expect(
        isNear, "\(name), step \(step.step): \(key) is \(step[key]), PyTorch's \(figure)", sourceLocation: place)
    }
  }
}

/// Expects the same optimizer steps with the same loss, terms and gradient norm.
///
/// - Parameters:
///   - tolerance: the largest |other − figure| / max(|figure|, floor); 0 for equal characters.
///   - floor: the smallest figure that differences are relative to.
func expectSame(
  _ figures: [Figures], _ others: [Figures], within tolerance: Double, floor: Double = 1e-3, _ name: String,
  at place: SourceLocation = #_sourceLocation
) {
  #expect(!figures.isEmpty, "\(name): no steps", sourceLocation: place)
  #expect(figures.map(\.step) == others.map(\.step), "\(name)", sourceLocation: place)
  for (figure, other) in zip(figures, others) {
    let (these, those) = (figure.losses, other.losses)
    #expect(these.map(\.name) == those.map(\.name), "\(name): step \(figure.step)", sourceLocation: place)
    for (this, that) in zip(these, those) {
      let isNear = abs(that.value - this.value) <= tolerance * max(abs(this.value), floor)
      #expect(
        isNear, "\(name): step \(figure.step): \(this.name) is \(that.value), expected \(this.value)",
        sourceLocation: place)
    }
  }
}

extension Command {
  /// The lines of one kind in a student's `training/metrics.jsonl`; none if there is no file.
  private func lines(_ event: JSON, of output: String) throws -> [Figures] {
    let name = output + "/training/metrics.jsonl"
    guard exists(name) else { return [] }
    // A run that is still at work may have written half of the last line.
    let text = try read(name)
    let whole = text.split(separator: "\n").dropLast(text.hasSuffix("\n") ? 0 : 1)
    return try whole.map { Figures(json: try JSON(parsing: String($0))) }.filter { $0.json["event"] == event }
  }

  /// The optimizer steps of the student in this directory, in their order.
  func metrics(_ output: String) throws -> [Figures] { try lines("step", of: output) }

  /// The evaluations of the student in this directory, in their order.
  func evaluations(_ output: String) throws -> [Figures] { try lines("evaluation", of: output) }

  /// What `training/step.json` of the student in this directory says.
  func stepJSON(_ output: String) throws -> JSON { try JSON(contentsOf: path(output + "/training/step.json")) }
}

extension JSON {
  /// The number at the end of these keys; NaN, which equals nothing, if there is none.
  func number(_ keys: String...) -> Double { keys.reduce(self) { $0?[$1] }?.double ?? .nan }
}
