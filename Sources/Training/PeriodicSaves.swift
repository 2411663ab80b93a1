import Collectives
import Platform

/// Checkpoints of a trainer outside a run, as a run writes them every `save_steps`: for timing.
package final class PeriodicSaves {
  private let store: CheckpointStore
  private let trainer: Trainer

  /// Keeps two checkpoints in a directory, as a run does by default.
  package init(_ directory: String, of trainer: Trainer, on communicator: any Communicator) {
    store = CheckpointStore(directory, planDigest: "timing", keep: 2, on: communicator)
    self.trainer = trainer
  }

  /// Writes a checkpoint after an optimizer step; collective. Throws `.checkpoint`.
  package func save(after step: Int) throws {
    var state = TrainingState()
    state.step = step
    try Trace.span("checkpoint") { try store.save(state, of: trainer) }
  }

  /// Waits until the last checkpoint is on disk; throws its error on all ranks.
  package func finish() throws { try store.finishSaving() }
}
