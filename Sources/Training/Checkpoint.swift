import Autograd
import Collectives
import Foundation
import Models
import Platform
import Safetensors
import Tensors

/// Where a run stands between two optimizer steps.
struct TrainingState: Equatable {
  /// Steps done.
  var step = 0
  var best: EvaluationRecord?
  var evaluationsSinceBest = 0
  /// Whether early stopping ended the run.
  var isStopped = false

  var json: JSON {
    var object: [String: JSON] = [
      "step": .int(step), "evaluations_since_best": .int(evaluationsSinceBest), "stopped": .bool(isStopped),
    ]
    if let best {
      object["best"] = [
        "step": .int(best.step), "epoch": .double(best.epoch), "metric": .string(best.metric.rawValue),
        "loss": .double(best.result.loss), "classes": .int(best.result.classCount),
        "confusion": .array(best.result.confusion.map(JSON.int)), "count": .int(best.result.count),
      ]
    }
    return .object(object)
  }

  init() {}

  /// Throws `.checkpoint` when a key is missing.
  init(_ json: JSON) throws {
    func need<T>(_ value: T?, _ key: String) throws -> T {
      guard let value else { throw RetortError(.checkpoint, "\(key) is missing") }
      return value
    }
    step = try need(json["step"]?.int, "step")
    evaluationsSinceBest = try need(json["evaluations_since_best"]?.int, "evaluations_since_best")
    isStopped = try need(json["stopped"]?.bool, "stopped")
    guard let best = json["best"] else { return }
    let classes = try need(best["classes"]?.int, "best.classes")
    let confusion = try need(best["confusion"]?.array?.compactMap(\.int), "best.confusion")
    guard confusion.count == classes * classes else { throw RetortError(.checkpoint, "best.confusion is cut") }
    let loss = try need(best["loss"]?.double, "best.loss")
    self.best = EvaluationRecord(
      step: try need(best["step"]?.int, "best.step"), epoch: try need(best["epoch"]?.double, "best.epoch"),
      metric: try need(best["metric"]?.string.flatMap(Metric.init(rawValue:)), "best.metric"),
      result: classes == 0
        ? EvaluationResult(predictedTokens: try need(best["count"]?.int, "best.count"), loss: loss)
        : EvaluationResult(confusion: confusion, classCount: classes, loss: loss),
      isBest: true, seconds: 0)
  }
}

/// The checkpoints of one training run, under `training/checkpoints`.
///
/// A checkpoint is by tensor name, not by rank, so that a run continues on any number of ranks. Rank 0 writes it;
/// `state.json`, written last, makes it one. All methods are collective.
final class CheckpointStore {
  private let directory: String
  private let planDigest: String
  private let keep: Int
  let communicator: any Communicator

  init(_ trainingDirectory: String, planDigest: String, keep: Int, on communicator: any Communicator) {
    directory = joinPath(trainingDirectory, "checkpoints")
    self.planDigest = planDigest
    self.keep = keep
    self.communicator = communicator
  }

  var bestWeightsPath: String { joinPath(directory, "best/model.safetensors") }

  /// Writes the weights of the best evaluation so far.
  func saveBest(_ trainer: Trainer) throws {
    try trainer.withWeights { bring in
      try communicator.agree("saving the best student") {
        try write(joinPath(directory, "best"), "model.safetensors", weights(of: trainer, bring))
      }
    }
  }

  /// Writes everything that is needed to continue after `state.step`, then drops the oldest checkpoints beyond the
  /// limit.
  func save(_ state: TrainingState, of trainer: Trainer) throws {
    let folder = joinPath(directory, "step-\(state.step)")
    try trainer.withWeights { bring in
      try communicator.agree("saving a checkpoint") {
        try write(folder, "model.safetensors", weights(of: trainer, bring))
      }
    }
    try communicator.agree("saving a checkpoint") { try write(folder, "optimizer.safetensors", moments(of: trainer)) }
    try communicator.agree("saving a checkpoint") {
      guard communicator.isFirst else { return }
      // The best weights at this moment belong to the checkpoint: a later best may be of a step that is done again.
      if fileExists(bestWeightsPath) { try replaceByLink(bestWeightsPath, joinPath(folder, "best.safetensors")) }
      let text = JSON.object(["plan": .string(planDigest), "state": state.json]).text(indent: 2)
      try writeFileAtomically(joinPath(folder, "state.json"), text + "\n")
      let own = completeSteps().filter { plan(of: $0) == planDigest }
      // Those of another plan are of no use to anybody: their step runs with other values now.
      for step in completeSteps() where !own.contains(step) { remove(step) }
      for step in own.dropLast(keep) { remove(step) }
    }
  }

  /// Loads the newest complete checkpoint of this plan into the trainer; the initial state when there is none.
  ///
  /// Rank 0 chooses, so that a file system that shows it to others later cannot send ranks to different steps.
  func restore(into trainer: Trainer) throws -> TrainingState {
    let newest = communicator.isFirst ? completeSteps().last { plan(of: $0) == planDigest } : nil
    let step = try communicator.broadcast(newest ?? -1)
    guard step >= 0 else { return TrainingState() }
    let folder = joinPath(directory, "step-\(step)")
    return try communicator.agree("reading a checkpoint") {
      do {
        let content = try JSON(contentsOf: joinPath(folder, "state.json"))["state"]
        let state = try TrainingState(content ?? .null)
        try read(folder, into: trainer)
        if communicator.isFirst, state.best != nil {
          try makeDirectory(joinPath(directory, "best"))
          try replaceByLink(joinPath(folder, "best.safetensors"), bestWeightsPath)
        }
        return state
      } catch {
        var failure = RetortError.wrap(error).located(folder)
        failure.kind = .checkpoint
        failure.remedy = "remove this checkpoint folder and run again; the run continues from the one before"
        throw failure
      }
    }
  }

  /// The digest of the plan that a checkpoint belongs to.
  private func plan(of step: Int) -> String? {
    (try? JSON(contentsOf: joinPath(directory, "step-\(step)/state.json")))?["plan"]?.string
  }

  func removeAll() {
    if communicator.isFirst { try? FileManager.default.removeItem(atPath: directory) }
  }

  /// The steps with a complete checkpoint, oldest first.
  private func completeSteps() -> [Int] {
    ((try? listDirectory(directory)) ?? []).compactMap { name in
      name.hasPrefix("step-") && fileExists(joinPath(directory, "\(name)/state.json")) ? Int(name.dropFirst(5)) : nil
    }.sorted()
  }

  private func remove(_ step: Int) {
    let folder = joinPath(directory, "step-\(step)")
    // Without its state the rest is no checkpoint, should the removal be cut short.
    unlink(joinPath(folder, "state.json"))
    try? FileManager.default.removeItem(atPath: folder)
  }

  private func read(_ folder: String, into trainer: Trainer) throws {
    let weights = try SafetensorsFile(joinPath(folder, "model.safetensors"))
    for binding in trainer.student.weightTable {
      let stored = try weights.tensor(binding.name)
      guard stored.shape == binding.shape.array else {
        throw RetortError(.checkpoint, "tensor \(binding.name) has shape \(stored.shape), not \(binding.shape)")
      }
      trainer.restore(binding, from: stored)
    }
    let moments = try SafetensorsFile(joinPath(folder, "optimizer.safetensors"))
    func stored(_ kind: String, _ parameter: Parameter) throws -> StoredTensor {
      let stored = try moments.tensor("\(kind).\(parameter.name)")
      guard stored.count == parameter.count else {
        throw RetortError(
          .checkpoint, "\(kind).\(parameter.name) has \(stored.count) elements, not \(parameter.count)")
      }
      return stored
    }
    for (kind, blocks) in [("m", trainer.optimizer.firstMoments), ("v", trainer.optimizer.secondMoments)] {
      for (parameter, range) in zip(trainer.flat.parameters, trainer.flat.ranges) {
        copyBlocks(of: try stored(kind, parameter), at: range, trainer.flat.updated, into: blocks)
      }
    }
    for table in trainer.tables {
      table.restore(first: try stored("m", table.parameter), second: try stored("v", table.parameter))
    }
  }

  /// Copies what a rank owns of a tensor that lies at `range` of the flat buffer.
  private func copyBlocks(of stored: StoredTensor, at range: Range<Int>, _ owned: [Range<Int>], into blocks: Tensor) {
    var offset = 0
    for block in owned {
      let part = range.clamped(to: block)
      if !part.isEmpty {
        stored.copyFloats(
          into: blocks.floats + offset + part.lowerBound - block.lowerBound,
          range: part.lowerBound - range.lowerBound..<part.upperBound - range.lowerBound)
      }
      offset += block.count
    }
  }

  /// Makes `target` another name of the file `source`, atomically; a copy where the file system has no links.
  private func replaceByLink(_ source: String, _ target: String) throws {
    let temporary = target + ".new"
    unlink(temporary)
    if link(source, temporary) != 0 { try writeFileAtomically(temporary, readFile(source)) }
    guard rename(temporary, target) == 0 else {
      throw RetortError(.checkpoint, "cannot rename to it (\(systemErrorText()))", at: target)
    }
    // Two names of one file: rename leaves the temporary one behind.
    unlink(temporary)
  }
}
