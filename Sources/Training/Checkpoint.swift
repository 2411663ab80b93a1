import Autograd
import Collectives
import Foundation
import Models
import Platform
import Safetensors
import Tensors

/// The checkpoints of one training run, under `training/checkpoints`.
///
///     step-N/             everything to resume after step N: one directory, renamed into place when complete
///       model.safetensors, optimizer.safetensors, best.safetensors, state.json
///       manifest.json     plan, step, and size and CRC32C of each file
///       metrics.jsonl     a hard link of the log, whose first bytes (state.json has the count) belong here
///     best/               the weights of the best evaluation: model.safetensors, manifest.json
///     plan-XXXXXXXXXXXX/  step-N of another plan, moved aside when this plan needed the name
///     spare/              files of the checkpoint that was removed last, which the next one overwrites
///
/// Checkpoints store tensors by name, not by rank, so a run can resume on any number of ranks. Training waits while the
/// ranks copy into a snapshot (`CheckpointSnapshot`), from which a separate thread of rank 0 writes and flushes the
/// files and renames the directory. Files of the checkpoint that was removed last are overwritten, since allocating new
/// blocks and pages costs several times as much as copying.
/// Checkpoints of other plans are never read and stay until this plan's student is committed. All methods are
/// collective unless they say otherwise.
final class CheckpointStore {
  let directory: String
  let planDigest: String
  private let keep: Int
  private let fence: (any WriteFence)?
  private let snapshotLimit: Int
  let communicator: any Communicator
  /// The save whose files are being flushed; rank 0 only.
  private let pending = PendingSave()
  /// The trainer of the last save, and the memory for its copies.
  private var snapshots: (trainer: Trainer, memory: CheckpointSnapshot?)?
  /// Remarks about skipped checkpoints, with reasons, and about snapshots; rank 0 only.
  private(set) var notes: [String] = []
  /// The names of skipped checkpoints, which the next save removes; rank 0 only.
  private var damaged: Set<String> = []

  init(
    _ trainingDirectory: String, planDigest: String, keep: Int, fence: (any WriteFence)? = nil,
    snapshotLimit: Int = SnapshotSize.limit, on communicator: any Communicator
  ) {
    self.snapshotLimit = snapshotLimit
    directory = joinPath(trainingDirectory, "checkpoints")
    self.planDigest = planDigest
    self.keep = keep
    self.fence = fence
    self.communicator = communicator
  }

  /// The memory for copies of a trainer; nil for a student that is too large. Collective.
  private func snapshot(of trainer: Trainer) throws -> CheckpointSnapshot? {
    if let snapshots, snapshots.trainer === trainer { return snapshots.memory }
    let made = try CheckpointSnapshot(of: trainer, limit: snapshotLimit, self)
    snapshots = (trainer, made)
    if made == nil, communicator.isFirst {
      notes.append(
        "training waits while checkpoints are written: there is no memory for a snapshot (docs/performance.md)")
    }
    return made
  }

  private var bestDirectory: String { joinPath(directory, "best") }
  var spareDirectory: String { joinPath(directory, "spare") }

  /// Writes the weights of the best evaluation so far, after `step`; they are on disk when `finishSaving` returns.
  func saveBest(_ trainer: Trainer, step: Int) throws {
    try finishSaving()
    let folder = try communicator.agree("saving the best student") { () -> AtomicDirectory? in
      guard communicator.isFirst else { return nil }
      try fence?.requireHeld()
      return try AtomicDirectory(bestDirectory)
    }
    let snapshot = try snapshot(of: trainer)
    try trainer.withWeights { bring in
      try communicator.agree("saving the best student") {
        if let snapshot { return try snapshot.copyWeights(self, bring) }
        try write(folder?.temporary ?? "", CheckpointFile.model, weights(of: trainer, bring))
      }
    }
    guard let folder else { return }
    pending.start { [self] in
      let entry = try snapshot?.model.write(folder.temporary, reusing: spareDirectory)
      try folder.commit(
        [CheckpointFile.model], known: entry.map { [CheckpointFile.model: $0] } ?? [:], facts: facts(step: step),
        fence: fence)
    }
  }

  /// Writes everything that is needed to resume after `state.step`, then removes the oldest checkpoints beyond the
  /// limit. The files are on disk when `finishSaving` or the next save returns.
  func save(_ state: TrainingState, of trainer: Trainer, log: MetricsLog? = nil) throws {
    // If this evaluation is the best, `saveBest` has just written these weights and may still be flushing them.
    let isBestNow = state.best?.step == state.step
    if !isBestNow { try finishSaving() }
    let folder = try communicator.agree("saving a checkpoint") { () -> AtomicDirectory? in
      guard communicator.isFirst else { return nil }
      try fence?.requireHeld()
      return try AtomicDirectory(joinPath(directory, CheckpointName(step: state.step).text))
    }
    let place = folder?.temporary ?? ""
    let snapshot = try snapshot(of: trainer)
    try trainer.withWeights { bring in
      try communicator.agree("saving a checkpoint") {
        if let snapshot {
          if !isBestNow { try snapshot.copyWeights(self, bring) }
          return try snapshot.copyMoments(self, bring)
        }
        if !isBestNow { try write(place, CheckpointFile.model, weights(of: trainer, bring)) }
        try write(place, CheckpointFile.optimizer, moments(of: trainer, bring))
      }
    }
    try communicator.agree("saving a checkpoint") {
      guard let folder else { return }
      var members: [String: JSON] = ["plan": .string(planDigest), "state": state.json]
      if let log {
        try linkOrCopy(log.path, joinPath(place, "metrics.jsonl"))
        members["log"] = log.position.json
      }
      let text = JSON.object(members).text(indent: 2) + "\n"
      try writeFileAtomically(joinPath(place, CheckpointFile.state), text, flushing: false)
      // After skipped steps the weights may be at fault, and the checkpoints before them have to stay.
      let keep = state.skippedInARow > 0 ? Int.max : keep
      let best = state.best?.step
      pending.start { [self] in
        var known: [String: FileManifest.Entry] = [:]
        if let snapshot {
          if !isBestNow { known[CheckpointFile.model] = try snapshot.model.write(place, reusing: spareDirectory) }
          known[CheckpointFile.optimizer] = try snapshot.optimizer.write(place, reusing: spareDirectory)
        }
        try commit(folder, step: state.step, best: best, known, keep: keep)
      }
    }
  }

  /// Adds the best weights to a checkpoint and renames it into place; on the saving thread of rank 0.
  private func commit(
    _ folder: AtomicDirectory, step: Int, best: Int?, _ known: [String: FileManifest.Entry], keep: Int
  ) throws {
    var known = known
    // A checkpoint includes the best weights at its time: a later best may come from a repeated step.
    if let best {
      let entry = try requireBest(of: best).files[CheckpointFile.model]
      // Use the checksum from the time of writing, so that later damage is detected.
      for name in [CheckpointFile.best] + (best == step ? [CheckpointFile.model] : []) {
        known[name] = entry
        try linkOrCopy(joinPath(bestDirectory, CheckpointFile.model), joinPath(folder.temporary, name))
      }
    }
    try moveAside(folder.path)
    try folder.commit(CheckpointFile.all(hasBest: best != nil), known: known, facts: facts(step: step), fence: fence)
    try prune(after: step, keep: keep)
  }

  /// Waits until the last save is on disk; throws its error on all ranks.
  func finishSaving() throws {
    try communicator.agree("saving a checkpoint") { try pending.finish() }
  }

  /// Waits for the end of the last save and ignores its error; not collective.
  func awaitSaving() { try? pending.finish() }

  /// The facts in the manifest of a checkpoint of this plan.
  private func facts(step: Int) -> [String: JSON] { ["format": 2, "plan": .string(planDigest), "step": .int(step)] }

  /// Throws `.checkpoint` if `best` does not contain this plan's weights after `step`; rank 0 only.
  @discardableResult
  private func requireBest(of step: Int) throws -> FileManifest {
    let manifest = try FileManifest(readingFrom: bestDirectory)
    guard manifest.facts["plan"]?.string == planDigest, manifest.facts["step"]?.int == step else {
      throw RetortError(
        .checkpoint, "does not contain the best student of this run", at: bestDirectory,
        remedy: "check that no other job writes there, and run again to resume from the last checkpoint")
    }
    return manifest
  }

  /// The file with the weights of the best evaluation, after `step`, after a check of its checksum; rank 0 only.
  ///
  /// Throws `.checkpoint` if the file is damaged or belongs to another run.
  func verifiedBest(after step: Int) throws -> String {
    if let fault = try requireBest(of: step).firstFault(in: bestDirectory) {
      throw RetortError(
        .checkpoint, "the best student is damaged: \(fault)", at: bestDirectory,
        remedy: "run again: training resumes from the newest complete checkpoint")
    }
    return joinPath(bestDirectory, CheckpointFile.model)
  }

  /// Removes the checkpoints of all plans after the student is committed; acts on rank 0 only.
  func removeAll() throws {
    guard communicator.isFirst, fileExists(directory) else { return }
    try fence?.requireHeld()
    try? FileManager.default.removeItem(atPath: directory)
  }

  // MARK: restoring

  /// Loads the newest valid checkpoint of this plan into the trainer; returns the initial state if there is none.
  ///
  /// Rank 0 chooses it, so that a file system that shows it to other ranks later cannot lead ranks to different steps.
  /// A checkpoint that one rank cannot read is skipped by all. `notes` has the skipped ones and the reasons.
  ///
  /// - Parameter step: checkpoints before this step are preferred to newer ones; nil prefers the newest.
  func restore(into trainer: Trainer, before step: Int? = nil) throws -> (state: TrainingState, log: RestoredLog?) {
    let stageSteps = trainer.stages.map(\.configuration.totalSteps)
    var candidates = try communicator.agree("reading checkpoints") { () -> [Candidate] in
      guard communicator.isFirst, fileExists(directory) else { return [] }
      try fence?.requireHeld()
      AtomicDirectory.sweep(directory)
      guard let step else { return self.candidates() }
      return self.candidates().filter { $0.name.step >= step } + self.candidates().filter { $0.name.step < step }
    }
    while true {
      let chosen = communicator.isFirst ? nextValid(&candidates, stageSteps) : nil
      let name = try communicator.broadcast(text: chosen?.name.text ?? "")
      guard !name.isEmpty else {
        if !damaged.isEmpty { notes.append("no complete checkpoint of this plan is left: training starts over") }
        return (TrainingState(), nil)
      }
      let folder = joinPath(directory, name)
      let (state, files): (TrainingState, CheckpointFiles)
      do {
        (state, files) = try communicator.agree {
          (
            try readState(folder, stageSteps),
            try CheckpointFiles(folder, for: trainer)
          )
        }
      } catch let error as RetortError where error.isCollective && error.kind != .peer {
        if communicator.isFirst { notePassed(name, error.description) }
        continue
      }
      // Every rank has found everything. An error from here on ends the run: the trainer is partly restored, so
      // starting over with it would give a different student.
      try trainer.resume(stage: state.stage)
      files.copy(into: trainer)
      return (state, try restoreBest(state, from: folder))
    }
  }

  /// Restores the best weights of a checkpoint into `best`, and returns its lines of the log on rank 0.
  private func restoreBest(_ state: TrainingState, from folder: String) throws -> RestoredLog? {
    try communicator.agree("reading a checkpoint") {
      guard communicator.isFirst else { return nil }
      if let best = state.best {
        let made = try AtomicDirectory(bestDirectory)
        try linkOrCopy(joinPath(folder, CheckpointFile.best), joinPath(made.temporary, CheckpointFile.model))
        let entry = try FileManifest(readingFrom: folder).files[CheckpointFile.best]
        try made.commit(
          [CheckpointFile.model], known: entry.map { [CheckpointFile.model: $0] } ?? [:], facts: facts(step: best.step),
          fence: fence)
      }
      return RestoredLog(folder, (try? JSON(contentsOf: joinPath(folder, CheckpointFile.state)))?["log"])
    }
  }

  /// The newest complete checkpoint of this plan; skipped ones are added to `notes`. Rank 0 only.
  private func nextValid(_ candidates: inout [Candidate], _ stageSteps: [Int]) -> Candidate? {
    var foreign: [String] = []
    defer {
      if !foreign.isEmpty {
        notes.append("checkpoints of another plan are kept and not read: \(foreign.joined(separator: ", "))")
      }
    }
    while let candidate = candidates.popLast() {
      let folder = joinPath(directory, candidate.name.text)
      do {
        let manifest = try FileManifest(readingFrom: folder)
        guard let plan = manifest.facts["plan"]?.string else { throw RetortError(.checkpoint, "it names no plan") }
        if plan != planDigest {
          foreign.append(candidate.name.text)
          continue
        }
        guard manifest.facts["step"]?.int == candidate.name.step else {
          throw RetortError(.checkpoint, "its manifest belongs to another step")
        }
        let state = try readState(folder, stageSteps)
        guard state.step == candidate.name.step else {
          throw RetortError(.checkpoint, "its state belongs to step \(state.step)")
        }
        let needed = CheckpointFile.all(hasBest: state.best != nil)
        if let missing = needed.first(where: { manifest.files[$0] == nil }) {
          throw RetortError(.checkpoint, "its manifest does not list \(missing)")
        }
        if let fault = manifest.firstFault(in: folder) { throw RetortError(.checkpoint, fault) }
        return candidate
      } catch {
        notePassed(candidate.name.text, RetortError.wrap(error).what)
      }
    }
    return nil
  }

  private func notePassed(_ name: String, _ why: String) {
    damaged.insert(name)
    notes.append("the checkpoint \(joinPath(directory, name)) is skipped: \(why)")
  }

  private func readState(_ folder: String, _ stageSteps: [Int]) throws -> TrainingState {
    let path = joinPath(folder, CheckpointFile.state)
    guard let json = try? JSON(contentsOf: path), let state = json["state"] else {
      throw RetortError(.checkpoint, "its state.json cannot be read")
    }
    guard json["plan"]?.string == planDigest else {
      throw RetortError(.checkpoint, "its state.json belongs to another plan")
    }
    do { return try TrainingState(state, stageSteps: stageSteps) } catch {
      throw RetortError(.checkpoint, "its state.json is impossible: \(RetortError.wrap(error).description)")
    }
  }

  // MARK: the directories

  private struct Candidate {
    let name: CheckpointName
  }

  /// All checkpoints of all plans, the newest step last. Rank 0 only.
  private func candidates() -> [Candidate] {
    let names = (try? listDirectory(directory)) ?? []
    let aside = names.filter { $0.hasPrefix(CheckpointName.aside) }.flatMap { folder in
      ((try? listDirectory(joinPath(directory, folder))) ?? []).map { "\(folder)/\($0)" }
    }
    return (names + aside).compactMap(CheckpointName.init(parsing:)).map(Candidate.init)
      .sorted { ($0.name.step, $0.name.text) < ($1.name.step, $1.name.text) }
  }

  /// Moves a checkpoint of another plan aside if it has the name of a new one; on the saving thread of rank 0.
  private func moveAside(_ path: String) throws {
    guard fileExists(path), let plan = plan(of: path), plan != planDigest else { return }
    let folder = joinPath(directory, "\(CheckpointName.aside)\(plan.prefix(12))")
    try makeDirectory(folder)
    let target = joinPath(folder, fileName(of: path))
    try fence?.requireHeld()
    if fileExists(target) { try? FileManager.default.removeItem(atPath: target) }
    guard rename(path, target) == 0 else {
      throw RetortError(.checkpoint, "cannot move \(path) to it (\(systemErrorText()))", at: target)
    }
  }

  private func plan(of path: String) -> String? { (try? FileManifest(readingFrom: path))?.facts["plan"]?.string }

  /// Removes the oldest checkpoints of this plan beyond the limit, and directories without a valid manifest.
  ///
  /// - Parameter step: the step of the newest checkpoint. Those of later steps were skipped, and must not count towards
  ///   the limit.
  private func prune(after step: Int, keep: Int) throws {
    try fence?.requireHeld()
    var own: [CheckpointName] = []
    for candidate in candidates() {
      guard let plan = plan(of: joinPath(directory, candidate.name.text)) else {
        remove(candidate.name)
        continue
      }
      if plan != planDigest { continue }
      let name = candidate.name
      if name.step > step || (name.step < step && damaged.contains(name.text)) {
        remove(name)
      } else {
        own.append(name)
      }
    }
    damaged = []
    let doomed = own.dropLast(keep)
    for name in doomed.dropLast() { remove(name) }
    if let last = doomed.last { makeSpare(of: last) }
  }

  /// Keeps the large files of a removed checkpoint, which the next one overwrites.
  private func makeSpare(of name: CheckpointName) {
    try? FileManager.default.removeItem(atPath: spareDirectory)
    guard rename(joinPath(directory, name.text), spareDirectory) == 0 else { return remove(name) }
    for file in (try? listDirectory(spareDirectory)) ?? [] where !CheckpointFile.reused.contains(file) {
      unlink(joinPath(spareDirectory, file))
    }
  }

  private func remove(_ name: CheckpointName) {
    let folder = joinPath(directory, name.text)
    // Rename it first, so that an interrupted removal leaves no partial checkpoint.
    let doomed = joinPath(directory, "\(fileName(of: name.text)).removed\(AtomicDirectory.ending)")
    try? FileManager.default.removeItem(atPath: doomed)
    guard rename(folder, doomed) == 0 else { return }
    try? FileManager.default.removeItem(atPath: doomed)
  }

  /// Creates `target` as a hard link of `source`, or as a copy if the file system has no hard links.
  private func linkOrCopy(_ source: String, _ target: String) throws {
    if link(source, target) != 0 { try writeFileAtomically(target, readFile(source)) }
  }
}

/// The names of the files of a checkpoint.
enum CheckpointFile {
  static let model = "model.safetensors"
  static let optimizer = "optimizer.safetensors"
  static let best = "best.safetensors"
  static let state = "state.json"
  /// The large files, whose sizes do not change between checkpoints.
  static let reused = [model, optimizer]

  /// The files that a manifest lists.
  static func all(hasBest: Bool) -> [String] { [model, optimizer, state] + (hasBest ? [best] : []) }
}

/// `step-N`, or `plan-XXXXXXXXXXXX/step-N` for one that was moved aside.
struct CheckpointName {
  static let aside = "plan-"
  let text: String
  let step: Int

  init(step: Int) {
    self.step = step
    text = "step-\(step)"
  }

  /// Parses a name; nil if it is not a checkpoint's.
  init?(parsing text: String) {
    let name = fileName(of: text)
    guard name.hasPrefix("step-"), let step = Int(name.dropFirst(5)), step >= 0, name == "step-\(step)" else {
      return nil
    }
    self.text = text
    self.step = step
  }
}
