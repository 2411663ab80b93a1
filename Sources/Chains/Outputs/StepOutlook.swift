import Platform

/// What a run will do with a chain step.
package struct StepOutlook: Sendable, Equatable {
  /// A checkpoint that does not have the inputs of this run.
  package struct OtherCheckpoint: Sendable, Equatable {
    /// The optimizer step after which it was written.
    package let step: Int
    /// What changed since; empty if it does not record its inputs.
    package let reasons: [String]
    /// The step that is trained before and decides whether the checkpoint is resumed, in words; nil if the inputs of
    /// this run are known.
    package let pending: String?

    /// The checkpoint in words, as the end of a list.
    var text: String {
      if let pending { return "whether its checkpoint after step \(step) is resumed shows once \(pending) is trained" }
      let why =
        reasons.isEmpty ? ": its inputs were others, which it does not record"
        : " because " + reasons.joined(separator: ", ")
      return "the checkpoint after step \(step) is not resumed\(why); it stays until a new student is committed, and "
        + "resumes if its values return"
    }

    var json: JSON {
      [
        "step": .int(step), "reasons": .array(reasons.map(JSON.string)),
        "pending": pending.map(JSON.string) ?? .null,
      ]
    }
  }

  /// The step's `step_id`.
  package let id: String
  /// Its output directory, absolute.
  package let directory: String
  /// The report of a committed student that is kept; nil for a step that is trained.
  package var report: StepReport?
  /// Why an existing student is not kept.
  package var reasons: [String] = []
  /// Whether there is a committed student, which stays until its successor is committed.
  package var hasStudent = false
  /// The optimizer step of the checkpoint from which training resumes; nil if it starts from the beginning.
  package var continuesAfter: Int?
  /// The newest checkpoint of other inputs; nil if there is none.
  package var otherCheckpoint: OtherCheckpoint?
  /// The optimizer steps of the whole training.
  package var totalSteps = 0
  /// Files of a kept student that are rewritten, each with its fault.
  package var repairs: [String] = []
  /// Further remarks.
  package var remarks: [String] = []
  /// The run that holds the directory now; nil if none does.
  package var holder: LockHolder?
  /// Why a run refuses the directory; nil if it does not.
  package var refusal: String?

  init(_ step: ResolvedStep) { (id, directory) = (step.id, step.outputDirectory) }

  /// The state in one word: committed, continues, retrained, restarted (there is only a checkpoint of other
  /// inputs), new, refused or locked.
  package var state: String {
    if refusal != nil { return "refused" }
    if holder != nil { return "locked" }
    if report != nil { return "committed" }
    if continuesAfter != nil { return "continues" }
    if hasStudent { return "retrained" }
    return otherCheckpoint == nil ? "new" : "restarted"
  }

  /// The outlook in words, as the end of a sentence that begins with the step.
  package var text: String {
    if let refusal { return "is refused: \(refusal)" }
    var text: String
    if let report {
      text = "is committed (\(report.metric) \(report.valueText), \(report.countText)) and kept"
      if !repairs.isEmpty { text += "; \(repairs.joined(separator: ", ")), which is rewritten" }
    } else {
      let why = hasStudent && !reasons.isEmpty ? " because " + reasons.joined(separator: ", ") : ""
      if let continuesAfter {
        text = "resumes after step \(continuesAfter) of \(totalSteps)"
        if hasStudent { text += "; it is retrained\(why)" }
      } else {
        let begun = otherCheckpoint == nil ? "has not begun and is trained" : "is trained from the beginning"
        text = hasStudent ? "is retrained\(why)" : "\(begun) for \(totalSteps) steps"
      }
      if hasStudent { text += "; the existing student stays until the new one is committed" }
    }
    if let otherCheckpoint { text += "; \(otherCheckpoint.text)" }
    if let holder { text += "; another run writes to it: \(holder.text)" }
    return text
  }

  /// The outlook as JSON.
  package var json: JSON {
    [
      "event": "outlook", "step_id": .string(id), "output_dir": .string(directory), "state": .string(state),
      "text": .string(text), "reasons": .array(reasons.map(JSON.string)),
      "continues_after": continuesAfter.map(JSON.int) ?? .null,
      "other_checkpoint": otherCheckpoint.map(\.json) ?? .null, "steps": .int(totalSteps),
      "has_student": .bool(hasStudent), "repairs": .array(repairs.map(JSON.string)),
      "remarks": .array(remarks.map(JSON.string)), "holder": holder.map(\.json) ?? .null,
      "refusal": refusal.map(JSON.string) ?? .null, "report": report.map(\.json) ?? .null,
    ]
  }
}
