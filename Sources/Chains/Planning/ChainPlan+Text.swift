import Datasets
import Models
import Platform

extension ChainPlan {
  /// The plan as text, for `--dry-run`.
  ///
  /// - Parameter outlook: the outlook of each step, in order.
  public func text(ranks: Int, _ outlook: [StepOutlook]) -> String {
    var lines = ["plan of chain \(chain.metadata.name) on \(ranks) \(ranks == 1 ? "rank" : "ranks")"]
    if !labels.names.isEmpty { lines.append("classes: \(labels.names.joined(separator: ", "))") }
    for (step, outlook) in zip(steps, outlook) {
      let train = data[step.index].student.train
      let teacher = step.teacher.map { "\($0.reference) (\($0.configuration.shapeText))" } ?? "none (fine-tuning)"
      let values = step.hyperparameters.weights(hasTeacher: step.teacher != nil)
      lines += [
        "step \(step.index + 1): \(step.id)", "  teacher   \(teacher)",
        "  student   \(step.student.configuration.shapeText), \(grouped(step.student.parameterCount)) parameters, "
          + "from \(step.student.reference)",
        "  data      \(text(of: train)) for training, \(text(of: data[step.index].student.validation)) for validation",
        "  batch     \(batchText(of: step))",
        "  loss      ce_weight \(values.ce), kd_weight \(values.kd), temperature \(step.hyperparameters.temperature)",
        "  precision \(precision(of: step).rawValue)",
        "  sharing   \(self.values(of: step).sharingText)", "  output    \(step.outputDirectory)",
        "  state     \(outlook.text)",
      ]
    }
    return lines.joined(separator: "\n")
  }

  /// The amount of data.
  private func text(of data: any ExampleSource) -> String {
    guard let documents = data as? PackedDocuments else {
      let unlabelled = data.count - data.labelledCount
      return "\(grouped(data.count)) examples" + (unlabelled > 0 ? " (\(grouped(unlabelled)) without a label)" : "")
    }
    return "\(grouped(documents.documentCount)) documents in \(grouped(data.count)) rows of at most "
      + "\(documents.rowLength) tokens (\(grouped(documents.totalTokens)) tokens, "
      + "\(grouped(documents.predictedTokens)) predicted)"
  }

  /// The size of a batch and the number of optimizer steps.
  private func batchText(of step: ResolvedStep) -> String {
    let steps = "\(grouped(values(of: step).totalSteps)) optimizer steps"
    switch step.hyperparameters.batchSize {
    case .examples(let count): return "\(grouped(count)) examples, \(steps)"
    case .tokens(let count): return "at most \(grouped(count)) tokens, \(steps)"
    }
  }

  /// The plan as JSON, with the outlook of each step.
  public func json(_ outlook: [StepOutlook]) -> JSON {
    [
      "event": "plan", "name": .string(chain.metadata.name), "labels": .array(labels.names.map(JSON.string)),
      "steps": .array(
        zip(steps, outlook).map { step, outlook in
          [
            "step_id": .string(step.id), "teacher": step.teacher.map { .string($0.reference) } ?? .null,
            "student": .string(step.student.configuration.shapeText),
            "parameters": .int(step.student.parameterCount), "output_dir": .string(step.outputDirectory),
            "precision": .string(precision(of: step).rawValue),
            "examples": .int(data[step.index].student.train.count), "steps": .int(values(of: step).totalSteps),
            "configuration": step.configuration.resolved, "outlook": outlook.json,
          ]
        }),
    ]
  }
}
