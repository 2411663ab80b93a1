import Platform

/// Why an optimizer step takes no update: its loss or the norm of its gradient is not a finite number.
package struct NumericalFault: Sendable, Equatable {
  /// Σ weight · mean over the terms.
  package let loss: Double
  /// The global norm before clipping.
  package let gradientNorm: Double
  /// The names of the terms whose mean is not finite.
  package let terms: [String]

  /// nil if loss and norm are finite.
  init?(loss: Double, gradientNorm: Double, terms: [(name: String, mean: Double)]) {
    if loss.isFinite && gradientNorm.isFinite { return nil }
    self.loss = loss
    self.gradientNorm = gradientNorm
    self.terms = terms.filter { !$0.mean.isFinite }.map(\.name)
  }

  /// What is not finite: `the loss is nan (cross_entropy)`.
  var text: String {
    if loss.isFinite { return "the norm of the gradient is \(Self.text(gradientNorm)), the loss \(loss)" }
    return "the loss is \(Self.text(loss))" + (terms.isEmpty ? "" : " (\(terms.joined(separator: ", ")))")
  }

  /// Without the sign of NaN, which means nothing.
  private static func text(_ value: Double) -> String { value.isNaN ? "nan" : "\(value)" }

  /// The error of a step that ends training, which all ranks throw.
  func error(step: Int) -> RetortError {
    var error = RetortError(
      .numerical, text, at: "optimizer step \(step)",
      remedy: "lower learning_rate, or set optimizer.max_grad_norm and warmup_steps")
    error.isCollective = true
    return error
  }

  /// The line of metrics.jsonl; figures that are not finite are strings.
  func json(step: Int, stage: String?, epoch: Double) -> JSON {
    func figure(_ value: Double) -> JSON { value.isFinite ? .double(value) : .string(Self.text(value)) }
    var line: [String: JSON] = [
      "event": "skipped_step", "step": .int(step), "epoch": .double(epoch), "loss": figure(loss),
      "gradient_norm": figure(gradientNorm), "terms": .array(terms.map(JSON.string)),
    ]
    if let stage { line["stage"] = .string(stage) }
    return .object(line)
  }
}
