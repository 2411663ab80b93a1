import Datasets
import Models
import Platform
import Training

extension ChainPlan {
  /// The plan as text, for `--dry-run`.
  ///
  /// - Parameter outlook: the outlook of each step, in order.
  package func text(ranks: Int, _ outlook: [StepOutlook]) -> String {
    var lines = ["plan of chain \(chain.metadata.name) on \(ranks) \(ranks == 1 ? "rank" : "ranks")"]
    if !classNames.isEmpty { lines.append("classes: \(classNames.joined(separator: ", "))") }
    for (step, outlook) in zip(steps, outlook) {
      let train = data[step.index].student.train
      let teachers = step.teachers.map { "\($0.model.reference) (\($0.model.configuration.shapeText))" }
      lines += [
        "step \(step.index + 1): \(step.id)",
        "  teacher   \(teachers.isEmpty ? "none (fine-tuning)" : teachers.joined(separator: ", "))",
        "  student   \(step.student.configuration.shapeText), \(grouped(step.student.parameterCount)) parameters, "
          + "from \(step.student.reference)",
        "  data      \(text(of: train)) for training, \(text(of: data[step.index].student.validation)) for validation",
      ]
      for stage in stages(of: step) {
        if let name = stage.name { lines.append("  stage     \(name)") }
        lines.append("  batch     \(batchText(of: stage.values))")
        lines += stage.values.objective.lines.map { "  loss      \($0)" }
      }
      lines += [
        "  precision \(precision(of: step).rawValue)",
        "  sharing   \(stages(of: step)[0].values.sharingText)", "  output    \(step.outputDirectory)",
        "  state     \(outlook.text)",
      ]
    }
    return lines.joined(separator: "\n")
  }

  /// The names of the classes or labels; empty for a task of scores, whose one output has no name.
  private var classNames: [String] { chain.metadata.task.kind.definition.hasLabels ? labels.names : [] }

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

  /// The size of an optimizer step's batch, and the number of optimizer steps.
  private func batchText(of values: TrainingConfiguration) -> String {
    let steps = "\(grouped(values.totalSteps)) optimizer steps"
    switch values.batchSize {
    case .examples(let count): return "\(grouped(count)) examples, \(steps)"
    case .tokens(let count): return "at most \(grouped(count)) tokens, \(steps)"
    }
  }

  /// The plan as JSON, with the outlook of each step.
  package func json(_ outlook: [StepOutlook]) -> JSON {
    [
      "event": "plan", "name": .string(chain.metadata.name), "labels": .array(classNames.map(JSON.string)),
      "steps": .array(
        zip(steps, outlook).map { step, outlook in
          [
            "step_id": .string(step.id), "teacher": step.teacher.map { .string($0.reference) } ?? .null,
            "student": .string(step.student.configuration.shapeText),
            "parameters": .int(step.student.parameterCount), "output_dir": .string(step.outputDirectory),
            "precision": .string(precision(of: step).rawValue),
            "examples": .int(data[step.index].student.train.count), "steps": .int(totalSteps(of: step)),
            "configuration": step.configuration.resolved, "outlook": outlook.json,
          ]
        }),
    ]
  }
}
