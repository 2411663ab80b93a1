import Platform

/// What a run does with a step, said before it does it.
public struct StepOutlook: Sendable, Equatable {
  /// The step's `step_id`.
  public let id: String
  /// Its output directory, absolute.
  public let directory: String
  /// Of the student that is there and is left as it is; nil for a step that is trained.
  public var report: StepReport?
  /// Why a student that is there is not kept.
  public var reasons: [String] = []
  /// Whether a committed student is there, which stays until its successor is committed.
  public var hasStudent = false
  /// The optimizer step of the checkpoint that training continues from; nil: it begins anew.
  public var continuesAfter: Int?
  /// Optimizer steps of the whole training.
  public var totalSteps = 0
  /// Files of a kept student that are written anew, with what was wrong with each.
  public var repairs: [String] = []
  /// What a person should know besides.
  public var remarks: [String] = []
  /// The run that has the directory now; nil where none has.
  public var holder: LockHolder?
  /// Why a run refuses the directory; nil where it does not.
  public var refusal: String?

  init(_ step: ResolvedStep) { (id, directory) = (step.id, step.outputDirectory) }

  /// The state in one word: committed, continues, retrained, new, refused or locked.
  public var state: String {
    if refusal != nil { return "refused" }
    if holder != nil { return "locked" }
    if report != nil { return "committed" }
    if continuesAfter != nil { return "continues" }
    return hasStudent ? "retrained" : "new"
  }

  /// The outlook in words, as the end of a sentence that begins with the step.
  public var text: String {
    if let refusal { return "is refused: \(refusal)" }
    var text: String
    if let report {
      text = "is committed (\(report.metric) \(report.valueText), \(report.countText)) and kept"
      if !repairs.isEmpty { text += "; \(repairs.joined(separator: ", ")), which is written anew" }
    } else {
      let why = hasStudent && !reasons.isEmpty ? " because " + reasons.joined(separator: ", ") : ""
      if let continuesAfter {
        text = "continues after step \(continuesAfter) of \(totalSteps)"
        if hasStudent { text += "; it is retrained\(why)" }
      } else {
        text = hasStudent ? "is retrained\(why)" : "has not begun, is trained for \(totalSteps) steps"
      }
      if hasStudent { text += "; the student that is there stays until the new one is committed" }
    }
    if let holder { text += "; another run writes to it: \(holder.text)" }
    return text
  }

  /// The outlook as JSON.
  public var json: JSON {
    [
      "event": "outlook", "step_id": .string(id), "output_dir": .string(directory), "state": .string(state),
      "text": .string(text), "reasons": .array(reasons.map(JSON.string)),
      "continues_after": continuesAfter.map(JSON.int) ?? .null, "steps": .int(totalSteps),
      "has_student": .bool(hasStudent), "repairs": .array(repairs.map(JSON.string)),
      "remarks": .array(remarks.map(JSON.string)), "holder": holder.map(\.json) ?? .null,
      "refusal": refusal.map(JSON.string) ?? .null, "report": report.map(\.json) ?? .null,
    ]
  }
}
