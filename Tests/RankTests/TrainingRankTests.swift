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
  /// Training must not know how many ranks it runs on.
  @Suite(.timeLimit(.minutes(2))) struct TrainingTests {
    func configuration(
      steps: Int = 6, batch: Int = 5, accumulation: Int = 1, passTokens: Int = 2048,
      bucketBytes: Int = 4096, precision: Precision = .fp32
    ) -> TrainingConfiguration {
      TrainingConfiguration(
        seed: 7, totalSteps: steps, batchSize: .examples(batch), accumulation: accumulation,
        passTokens: passTokens,
        objective: DistillationObjective(crossEntropyWeight: 0.4, distillationWeight: 0.6, temperature: 2),
        optimizer: AdamWConfiguration(weightDecay: 0.01),
        schedule: Schedule(.linear, peak: 1e-2, warmup: 2, total: steps), precision: precision,
        bucketBytes: bucketBytes)
    }

    func trainer(
      _ configuration: TrainingConfiguration, count: Int, on communicator: any Communicator
    ) throws -> Trainer {
      let data = try TinyTask.data(count)
      let teacher = ResidentTeacher(
        name: "teacher", model: try TinyTask.model(hidden: 16, layers: 2, seed: 9), train: data, validation: data,
        precision: configuration.precision)
      let hidden = configuration.precision == .bf16 ? 16 : 8
      return try Trainer(
        configuration, student: try TinyTask.model(hidden: hidden, layers: 2), teacher: teacher, train: data,
        on: communicator)
    }

    /// The records of a run; batches of the sampler, so that the last one of an epoch is smaller.
    func records(_ trainer: Trainer, count: Int) throws -> [StepRecord] {
      let data = try TinyTask.data(count)
      let sampler = Sampler(
        lengths: data.lengths, batchSize: trainer.configuration.batchSize, shuffle: true, groupByLength: true, seed: 7)
      let batches = (0..<3).flatMap { sampler.batches(epoch: $0) }
      return try (0..<trainer.configuration.totalSteps).map {
        try trainer.step($0 + 1, batch: batches[$0], epoch: 0)
      }
    }

    @Test(arguments: [(1, 2048), (2, 2048), (4, 2048), (1, 7), (2, 1)])
    func `losses, norms and weights are those of one rank, dropout included`(
      accumulation: Int, passTokens: Int
    ) throws {
      let solo = try trainer(configuration(), count: 13, on: SoloCommunicator())
      let reference = try records(solo, count: 13)
      let shared = try trainer(
        configuration(accumulation: accumulation, passTokens: passTokens), count: 13, on: world)
      let mine = try records(shared, count: 13)
      for (a, b) in zip(mine, reference) {
        for key in [\StepRecord.loss, \.crossEntropy, \.distillation, \.gradientNorm] {
          #expect(abs(a[keyPath: key] - b[keyPath: key]) <= 1e-4 * abs(b[keyPath: key]), "step \(a.step) \(key)")
        }
        #expect(a.learningRate == b.learningRate && a.tokens == b.tokens && a.examples == b.examples)
      }
      try solo.settle()
      try shared.settle()
      for (a, b) in zip(shared.student.weightTable, solo.student.weightTable) {
        // A key's bias moves all scores of a query alike: its gradient is zero but for rounding, which AdamW makes
        // as large as any other.
        if a.name.hasSuffix("key.bias") { continue }
        let difference = zip(a.tensor.array, b.tensor.array).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
        #expect(difference.squareRoot() <= 2e-3 * b.tensor.sumOfSquares.squareRoot(), "\(a.name)")
      }
    }

    @Test(arguments: [1, 2]) func `training in bf16 is that of one rank to the rounding of operands`(
      accumulation: Int
    ) throws {
      let solo = try trainer(configuration(precision: .bf16), count: 13, on: SoloCommunicator())
      let reference = try records(solo, count: 13)
      let shared = try trainer(configuration(accumulation: accumulation, precision: .bf16), count: 13, on: world)
      let mine = try records(shared, count: 13)
      for (a, b) in zip(mine, reference) {
        // Forward passes of a row are the same on any rank; sums over rows differ in order only, but a weight that
        // falls on the other side of a rounding boundary differs by 2⁻⁸ in the next step.
        #expect(abs(a.loss - b.loss) <= 5e-3 * abs(b.loss), "step \(a.step)")
        #expect(abs(a.gradientNorm - b.gradientNorm) <= 2e-2 * abs(b.gradientNorm), "step \(a.step)")
      }
      #expect(abs(mine[0].loss - reference[0].loss) <= 1e-5 * reference[0].loss)
    }

    @Test func `fewer examples than ranks still train, each counted once`() throws {
      let solo = try records(trainer(configuration(steps: 3, batch: 1), count: 1, on: SoloCommunicator()), count: 1)
      let mine = try records(trainer(configuration(steps: 3, batch: 1), count: 1, on: world), count: 1)
      for (a, b) in zip(mine, solo) { #expect(abs(a.loss - b.loss) <= 1e-4 * abs(b.loss) && a.examples == 1) }
    }

    @Test(arguments: [1, 2, 3, 10, 37]) func `an evaluation counts every example exactly once`(count: Int) throws {
      let data = try TinyTask.data(count, seed: 4)
      let model = try TinyTask.model(hidden: 8, layers: 1)
      func evaluate(_ communicator: any Communicator) throws -> EvaluationResult {
        try Evaluator.evaluate(data, names: ["0", "1"], on: communicator) { model.logits(data.batch($0)) }
      }
      let (mine, alone) = (try evaluate(world), try evaluate(SoloCommunicator()))
      #expect(mine.count == count && mine.confusion == alone.confusion)
      #expect(abs(mine.loss - alone.loss) < 1e-9 + 1e-6 * alone.loss)
    }

    @Test func `a run continues from its checkpoint on another number of ranks as if it had not stopped`() throws {
      let directory = try world.broadcast(text: Shared.temporaryDirectory("resume"))
      defer {
        try? world.barrier()
        if world.isFirst { try? FileManager.default.removeItem(atPath: directory) }
      }
      let solo = try trainer(configuration(), count: 13, on: SoloCommunicator())
      let reference = try records(solo, count: 13)
      // The first half on all ranks, saved; the second half on one rank each, from the same files.
      let first = try trainer(configuration(), count: 13, on: world)
      let data = try TinyTask.data(13)
      let sampler = Sampler(lengths: data.lengths, batchSize: 5, shuffle: true, groupByLength: true, seed: 7)
      let batches = (0..<3).flatMap { sampler.batches(epoch: $0) }
      for step in 1...3 { _ = try first.step(step, batch: batches[step - 1], epoch: 0) }
      var state = TrainingState()
      state.step = 3
      let store = CheckpointStore(directory, planDigest: "plan", keep: 2, on: world)
      try store.save(state, of: first)
      try store.finishSaving()
      let alone = SoloCommunicator()
      let second = try trainer(configuration(), count: 13, on: alone)
      let other = CheckpointStore(directory, planDigest: "another plan", keep: 2, on: alone)
      #expect(try other.restore(into: second).state.step == 0)
      let again = CheckpointStore(directory, planDigest: "plan", keep: 2, on: alone)
      let restored = try again.restore(into: second).state
      #expect(restored == state)
      for step in 4...6 {
        let record = try second.step(step, batch: batches[step - 1], epoch: 0)
        #expect(abs(record.loss - reference[step - 1].loss) <= 1e-4 * reference[step - 1].loss)
        #expect(abs(record.gradientNorm - reference[step - 1].gradientNorm) <= 1e-4 * reference[step - 1].gradientNorm)
      }
    }

    @Test func `the exchange costs what the rank that waits least spends at each place, and no more than the step`()
      throws
    {
      let records = try records(trainer(configuration(), count: 13, on: world), count: 13)
      for record in records {
        #expect(record.exchange.all.allSatisfy { $0 >= 0 } && record.exchange.all.reduce(0, +) < record.seconds)
        #expect(world.size == 1 || record.exchange.gradients > 0)
      }
      let exposed = try ExchangeSeconds.exposed(records.map(\.exchange), on: world)
      let own = records.reduce(0) { $0 + $1.exchange.all.reduce(0, +) }
      #expect(exposed <= own + 1e-9)
      // Rank r says that it waited r + 1 seconds at one place and size − r at another: the least of both is 1.
      var made = ExchangeSeconds()
      (made.rows, made.weights) = (Double(world.rank + 1), Double(world.size - world.rank))
      #expect(try ExchangeSeconds.exposed([made, made], on: world) == 4)
    }

    @Test func `a loss that is not finite ends the step on all ranks alike, weights untouched`() throws {
      let trainer = try trainer(configuration(), count: 13, on: world)
      trainer.student.weightTable.last!.tensor.fill(.nan)
      let before = trainer.student.weightTable[0].tensor.array
      let error = #expect(throws: RetortError.self) { try trainer.step(1, batch: [0, 1, 2], epoch: 0) }
      #expect(error?.kind == .numerical && error?.isCollective == true)
      #expect(trainer.student.weightTable[0].tensor.array == before)
    }
  }
}
