import Platform

// A step whose loss or gradient is not finite is skipped. After more than `max_skipped_steps` of them in a row,
// training goes back to a checkpoint, once:
//
//     checkpoint c   c+1 … u−1   u                   u+1 … s
//                    replayed    the last update:    skipped
//                                left out            left out
//
// Either the batches of the skipped steps are at fault, or the update before them has broken the weights; replaying it
// would break them again. The second time training ends with exit code 5.
extension TrainingRun {
  /// Warns about the first step that this process skips.
  func warnOnce(of record: StepRecord) {
    let limit = configuration.maximumSkippedSteps
    guard let fault = record.fault, !hasWarned, limit > 0 else { return }
    hasWarned = true
    observer.warning(
      "optimizer step \(record.step) is skipped: \(fault.text). metrics.jsonl lists all such steps; more than \(limit) "
        + "in a row (max_skipped_steps) make training return to a checkpoint")
  }

  /// Says at the end which steps took no update.
  func noteLeftOut() {
    if state.leftOut.isEmpty { return }
    let shown = state.leftOut.prefix(10).map(String.init).joined(separator: ", ")
    let rest = state.leftOut.count > 10 ? ", …" : ""
    observer.warning(
      "\(state.leftOut.count) of \(state.step) optimizer steps took no update (loss or gradient not finite, or left "
        + "out after a return to a checkpoint): \(shown)\(rest)")
  }

  /// Goes back to the last checkpoint before the update that may be at fault, and leaves out what followed; collective.
  ///
  /// Throws `.numerical` on all ranks after an earlier return, and without a checkpoint of this run.
  func goBack(_ fault: String) throws {
    let failed = state
    try store.finishSaving()
    guard failed.returns == 0 else {
      throw exhausted(fault, "after a return to a checkpoint")
    }
    var suspect = failed.step
    while suspect > 1, failed.leftOut.contains(suspect) { suspect -= 1 }
    let (restored, lines) = try store.restore(into: trainer, before: suspect)
    sayNotes()
    // Nothing was restored: the trainer has the weights at fault.
    guard restored.step > 0 else {
      throw exhausted(fault, "and the run has no checkpoint to go back to (save_steps makes more of them)")
    }
    state = restored
    state.leftOut = failed.leftOut
    // Only a checkpoint after the suspect update may be left; it has that update.
    let leftOut = Array(max(suspect, restored.step + 1)...failed.step)
    state.leaveOut(leftOut)
    state.skippedInARow = 0
    state.returns = 1
    sampler = TrainingRun.sampler(of: train, configuration)
    try communicator.agree {
      guard communicator.isFirst else { return }
      log = try MetricsLog(inDirectory: directory, continuing: true, lines: lines, fence: fence)
      try writeLine([
        "event": "returned", "step": .int(state.step), "from": .int(failed.step), "why": .string(fault),
        "left_out": .array(leftOut.map(JSON.int)),
      ])
    }
    observer.warning(
      "training goes back from step \(failed.step) to the checkpoint after step \(state.step) and leaves out the "
        + "batches of steps \(leftOut[0]) to \(failed.step): \(fault)")
    // A later run then goes back no second time.
    try store.save(state, of: trainer, log: log)
  }

  private func exhausted(_ fault: String, _ how: String) -> RetortError {
    let count = state.skippedInARow
    let steps = count > 1 ? " in \(count) steps in a row" : ""
    var error = RetortError(
      .numerical, "\(fault)\(steps), \(how)", at: "optimizer step \(state.step)",
      remedy: "lower learning_rate, set optimizer.max_grad_norm and warmup_steps, check the data of these steps, or "
        + "raise max_skipped_steps (\(configuration.maximumSkippedSteps))")
    error.isCollective = true
    return error
  }
}
