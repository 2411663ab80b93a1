import Foundation
import Platform

/// A number that may change over the optimizer steps of a training stage.
package struct Scheduled: Sendable, Equatable {
  /// The curve from the first to the last value.
  package enum Shape: String, Sendable, CaseIterable {
    /// x
    case linear
    /// (1 − cos πx) / 2
    case cosine
  }

  /// The value in the first optimizer step.
  package let from: Double
  /// The value in the last optimizer step.
  package let to: Double
  /// The curve between the two.
  package let shape: Shape

  /// Creates a schedule from one value to another over a stage.
  package init(from: Double, to: Double, shape: Shape = .linear) {
    self.from = from
    self.to = to
    self.shape = shape
  }

  /// Creates a constant value.
  package init(_ value: Double) { self.init(from: value, to: value) }

  /// Whether the value is the same in all steps.
  package var isConstant: Bool { from == to }

  /// from + (to − from)·shape(x), x = (step − 1) / (steps − 1), with steps counted from 1; `from` in a stage
  /// of one step.
  package func value(step: Int, of steps: Int) -> Double {
    if isConstant || steps <= 1 { return from }
    let x = Double(step - 1) / Double(steps - 1)
    let share = shape == .linear ? x : (1 - cos(Double.pi * x)) / 2
    return from + (to - from) * share
  }

  /// A number, or `{from, to, shape}`.
  package var json: JSON {
    isConstant ? .double(from) : ["from": .double(from), "to": .double(to), "shape": .string(shape.rawValue)]
  }
}
