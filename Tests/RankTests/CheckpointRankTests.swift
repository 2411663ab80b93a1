import Collectives
import Datasets
import Foundation
import Models
import Objectives
import Optimizers
import Platform
import Teachers
import Tensors
import TestSupport
import Testing

@testable import Training

extension RankTests {
  /// A checkpoint is the same file whichever way its parts come together.
  @Suite(.timeLimit(.minutes(2))) struct CheckpointTests {
    /// A trainer with a table, a projection and two steps behind it.
    private func trainer(_ sharding: StudentSharding, nodeRanks: Int?) throws -> Trainer {
      let data = try TinyTask.data(13)
      let teacher = ResidentTeacher(
        name: "teacher", model: try TinyTask.model(hidden: 24, layers: 4, dropout: 0, seed: 9), train: data,
        validation: data, precision: .fp32)
      let student = try TinyTask.model(hidden: 16, layers: 2)
      let terms = [ObjectiveTerm(ObjectiveRegistry.crossEntropy, weight: Scheduled(0.3))] + ObjectiveCases.inner
      let configuration = TrainingConfiguration(
        seed: 7, totalSteps: 4, batchSize: .examples(7), objective: DistillationObjective(terms),
        schedule: Schedule(.constant, peak: 2e-3, warmup: 0, total: 4), bucketBytes: 4096, sharding: sharding,
        exchange: ExchangeOptions(nodeRanks: nodeRanks))
      let stage = try TrainingStage(
        configuration, student: (student as? any StagedModel)?.shape, teachers: [teacher.shape])
      let trainer = try Trainer([stage], student: student, teachers: [teacher], train: data, on: world)
      for step in 1...2 { _ = try trainer.step(step, batch: (0..<7).map { ($0 * step) % 13 }, epoch: 0) }
      return trainer
    }

    @Test(arguments: StudentSharding.allCases, [nil, 1])
    func `files written from a snapshot are those that ranks write piece by piece`(
      sharding: StudentSharding, nodeRanks: Int?
    ) throws {
      let root = try world.broadcast(text: Shared.temporaryDirectory("checkpoint"))
      defer {
        try? world.barrier()
        if world.isFirst { try? FileManager.default.removeItem(atPath: root) }
      }
      let trainer = try trainer(sharding, nodeRanks: nodeRanks)
      #expect(!trainer.projections.isEmpty && !trainer.tables.isEmpty)
      let pieces = CheckpointStore("\(root)/pieces", planDigest: "plan", keep: 2, snapshotLimit: 0, on: world)
      let copies = CheckpointStore("\(root)/copies", planDigest: "plan", keep: 2, on: world)
      var state = TrainingState()
      // The memory is used again, with other values in it.
      for step in 2...3 {
        state.step = step
        if step == 3 { _ = try trainer.step(3, batch: [1, 5, 6], epoch: 0) }
        for store in [pieces, copies] { try store.save(state, of: trainer) }
        // Training continues while the files are written.
        if step == 2 { for store in [pieces, copies] { try store.finishSaving() } }
      }
      _ = try trainer.step(4, batch: [2, 3, 4], epoch: 0)
      for store in [pieces, copies] {
        try store.finishSaving()
        try store.saveBest(trainer, step: 4)
        try store.finishSaving()
      }
      guard world.isFirst else { return }
      #expect(pieces.notes.count == 1 && copies.notes.isEmpty)
      for file in ["step-2/model", "step-2/optimizer", "step-3/model", "step-3/optimizer", "best/model"] {
        let (a, b) = (
          try readFile("\(root)/pieces/checkpoints/\(file).safetensors"),
          try readFile("\(root)/copies/checkpoints/\(file).safetensors")
        )
        #expect(a == b && a.count > 1000, "\(file)")
      }
      for folder in ["step-2", "step-3", "best"] {
        let path = "\(root)/copies/checkpoints/\(folder)"
        #expect(try FileManifest(readingFrom: path).firstFault(in: path) == nil)
        let other = try FileManifest(readingFrom: "\(root)/pieces/checkpoints/\(folder)")
        #expect(try FileManifest(readingFrom: path).files == other.files)
      }
    }
  }
}
