import Collectives
import Foundation
import Models
import Platform

// The writes to an output directory besides checkpoints: only on rank 0, and under the directory's lock.
extension ChainRunner {
  /// Records this step as the directory's owner before training writes to it. A committed student stays unchanged.
  func begin(_ step: ResolvedStep, _ inputs: JSON) throws {
    let directory = step.outputDirectory
    try fence(of: step)?.requireHeld()
    try makeDirectory(directory)
    OutputDirectory(path: directory).removeTemporaries()
    try record(step, StepManifest.plan(of: inputs)).take(
      directory, committed: StepManifest.read(from: directory)?.plan, fence: fence(of: step))
    try Checkpoints.record(inputs, in: directory)
  }

  private func record(_ step: ResolvedStep, _ planDigest: String) -> OwnerRecord {
    OwnerRecord(
      stepID: step.id, chain: plan.chain.metadata.name, chainFile: realPath(plan.chain.metadata.source.file),
      plan: planDigest)
  }

  /// Keeps a committed student: rewrites its lost files, and removes what a run left that was killed after its commit.
  /// Collective.
  func keep(_ step: ResolvedStep, _ outlook: StepOutlook) throws {
    try onFirst {
      let (directory, fence) = (step.outputDirectory, fence(of: step))
      guard let manifest = StepManifest.read(from: directory) else { return }
      OutputDirectory(path: directory).removeTemporaries()
      if !outlook.repairs.isEmpty {
        let names = ["config.json"] + (step.student.tokenizer?.files ?? []).map { fileName(of: $0) }
        let known = try contents(of: step)
        let aside = StepCommit.Aside(directory, fence)
        for difference in manifest.differences(in: directory, companions: names) {
          guard let content = known[difference.name] else { continue }
          if difference.kind == .changed { try aside.take(difference.name) }
          try fence?.requireHeld()
          let path = joinPath(directory, difference.name)
          if difference.name.contains("/") { try makeDirectory(parentDirectory(of: path)) }
          try writeFileAtomically(path, content)
          observer.note("step \(step.id): \(difference.text) since it was committed, and is written again")
        }
        aside.remarks.forEach(observer.note)
      }
      let own = record(step, manifest.plan)
      // Checkpoints of a stopped successor stay, since its values may come back.
      let isLeftOver = OwnerRecord.read(from: directory).map { $0.plan == own.plan } ?? false
      let checkpoints = joinPath(directory, "training/checkpoints")
      if isLeftOver, fileExists(checkpoints) {
        try fence?.requireHeld()
        try? FileManager.default.removeItem(atPath: checkpoints)
      }
      try own.take(directory, committed: manifest.plan, fence: fence)
    }
  }

  /// Replaces the previous student with the best one; the manifest is written last.
  func commit(_ step: ResolvedStep, _ inputs: JSON, _ trained: TrainedStep?, _ report: StepReport) throws {
    var remarks: [String] = []
    try communicator.agree("committing step \(step.id)") {
      guard communicator.isFirst, let trained else { return }
      let directory = step.outputDirectory
      let commit = StepCommit(directory, fence: fence(of: step))
      try commit.prepare()
      try ModelWriter.assemble(
        directory: commit.stage, configuration: trained.student.configuration,
        weights: try trained.training.verifiedBestWeights(), tokenizerFiles: studentFiles(of: step),
        written: writtenFiles(of: step))
      var results = report.json.object ?? [:]
      results["best_step"] = .int(trained.result.best.step)
      results["steps"] = .int(trained.result.steps)
      let sent = trained.result.sentBytes.map { ($0.key.rawValue, JSON.int($0.value)) }
      results["sent_bytes"] = .object(Dictionary(uniqueKeysWithValues: sent))
      if !trained.result.leftOut.isEmpty {
        results["left_out_steps"] = .array(trained.result.leftOut.map(JSON.int))
      }
      results["peak_memory"] = .int(trained.result.peakMemory)
      let best = trained.result.best.result
      results["loss"] = best.count == 0 || !best.measuresLoss ? .null : .double(best.loss)
      results["start_seconds"] = .double(trained.startSeconds)
      results["ranks"] = .int(communicator.size)
      if let cache = trained.cache { results["teacher_cache"] = cache.json }
      if let placement = placementReports[0] { results["teacher_placement"] = placement.json }
      if step.teachers.count > 1, !placementReports.isEmpty {
        results["teacher_placements"] = .object(
          Dictionary(placementReports.map { (step.teachers[$0].role.name, $1.json) }) { first, _ in first })
      }
      if !trained.result.stages.isEmpty { results["stages"] = .array(trained.result.stages.map(\.json)) }
      remarks = try commit.finish(inputs: inputs, results: .object(results))
    }
    remarks.forEach(observer.note)
    try trained?.training.removeCheckpoints()
    if communicator.isFirst { OwnerRecord.dropOtherMetrics(in: step.outputDirectory) }
  }
}
