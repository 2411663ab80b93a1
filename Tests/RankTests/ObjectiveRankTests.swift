import Collectives
import Datasets
import Models
import Objectives
import Optimizers
import Teachers
import Tensors
import TestSupport
import Testing

@testable import Training

extension RankTests {
  /// Every objective trains alike on any number of ranks, however the work and the student are divided.
  @Suite(.timeLimit(.minutes(4))) struct ObjectiveTests {
    static let steps = 3

    /// The classifier's cases: each kind beside a cross-entropy, then all of them together.
    static let lists: [[ObjectiveTerm]] = {
      let hard = ObjectiveTerm(ObjectiveRegistry.crossEntropy, weight: Scheduled(0.3))
      let all = ObjectiveCases.onLogits + ObjectiveCases.onLabels + ObjectiveCases.inner
      return all.map { [hard, $0] } + [all]
    }()

    struct Split {
      var accumulation = 1
      var sharding = StudentSharding.optimizer
      var checkpointing = false
      var precision = Precision.fp32
    }

    func records(_ terms: [ObjectiveTerm], _ split: Split = Split(), on communicator: any Communicator) throws
      -> [StepRecord]
    {
      let data = try TinyTask.data(13)
      let teacher = ResidentTeacher(
        name: "teacher", model: try TinyTask.model(hidden: 24, layers: 4, dropout: 0, seed: 9), train: data,
        validation: data, precision: split.precision)
      let student = try TinyTask.model(hidden: 16, layers: 2)
      let configuration = TrainingConfiguration(
        seed: 7, totalSteps: Self.steps, batchSize: .examples(7), accumulation: split.accumulation,
        objective: DistillationObjective(terms),
        schedule: Schedule(.constant, peak: 2e-3, warmup: 0, total: Self.steps),
        precision: split.precision, bucketBytes: 4096, sharding: split.sharding,
        activationCheckpointing: split.checkpointing)
      let shape = (student as? any StagedModel)?.shape
      let stage = try TrainingStage(configuration, student: shape, teachers: [teacher.shape])
      let trainer = try Trainer([stage], student: student, teachers: [teacher], train: data, on: communicator)
      let sampler = Sampler(
        lengths: data.lengths, batchSize: .examples(7), shuffle: true, groupByLength: true, seed: 7)
      let batches = (0..<3).flatMap { sampler.batches(epoch: $0) }
      return try (0..<Self.steps).map { try trainer.step($0 + 1, batch: batches[$0], epoch: 0) }
    }

    func expectAlike(_ mine: [StepRecord], _ reference: [StepRecord], _ tolerance: Double, _ what: String) {
      for (a, b) in zip(mine, reference) {
        for (x, y) in zip(a.terms, b.terms) {
          let (own, other) = (x.value ?? .nan, y.value ?? .nan)
          #expect(abs(own - other) <= tolerance * max(1e-2, abs(other)), "\(what), step \(a.step), \(x.name)")
        }
        #expect(abs(a.loss - b.loss) <= tolerance * max(1e-2, abs(b.loss)), "\(what), step \(a.step)")
        #expect(
          abs(a.gradientNorm - b.gradientNorm) <= 4 * tolerance * max(1e-2, b.gradientNorm), "\(what), step \(a.step)")
      }
    }

    @Test func `terms and norms are those of one rank, for each objective`() throws {
      for terms in Self.lists {
        let reference = try records(terms, on: SoloCommunicator())
        expectAlike(try records(terms, on: world), reference, 1e-4, terms.map(\.kind).joined(separator: "+"))
      }
    }

    @Test(arguments: StudentSharding.allCases) func `they do not depend on how the student is divided`(
      sharding: StudentSharding
    ) throws {
      let terms = try #require(Self.lists.last)
      let reference = try records(terms, on: SoloCommunicator())
      for (accumulation, checkpointing) in [(1, false), (3, true)] {
        let split = Split(accumulation: accumulation, sharding: sharding, checkpointing: checkpointing)
        expectAlike(try records(terms, split, on: world), reference, 1e-4, "\(split)")
      }
    }

    @Test func `in bf16 they are those of one rank to the rounding of operands`() throws {
      for terms in Self.lists {
        let split = Split(precision: .bf16)
        let (mine, alone) = (try records(terms, split, on: world), try records(terms, split, on: SoloCommunicator()))
        expectAlike(Array(mine.prefix(1)), Array(alone.prefix(1)), 1e-4, terms.map(\.kind).joined(separator: "+"))
        expectAlike(mine, alone, 3e-2, terms.map(\.kind).joined(separator: "+"))
      }
    }

    /// A language model's terms on logits, and some inside the models, with a teacher of another width.
    static let languageLists: [[ObjectiveTerm]] = {
      let inner = ObjectiveCases.inner.filter { ["hidden_cosine", "attention_kl", "relation_kl"].contains($0.kind) }
      return (ObjectiveCases.onLogits + inner).map { [$0] } + [ObjectiveCases.onLogits + inner]
    }()

    func languageRecords(_ terms: [ObjectiveTerm], _ split: Split = Split(), on communicator: any Communicator) throws
      -> [StepRecord]
    {
      let data = try TinyLanguageModel.documents(23, rowLength: 16)
      let teacher = ResidentTeacher(
        name: "teacher", model: try TinyLanguageModel.model(hidden: 16, seed: 9), train: data, validation: data)
      let student = try TinyLanguageModel.model(hidden: 8)
      let configuration = TrainingConfiguration(
        seed: 7, totalSteps: Self.steps, batchSize: .examples(5), accumulation: split.accumulation,
        objective: DistillationObjective(terms),
        schedule: Schedule(.constant, peak: 2e-3, warmup: 0, total: Self.steps),
        bucketBytes: 1024, sharding: split.sharding, activationCheckpointing: split.checkpointing)
      let stage = try TrainingStage(configuration, student: student.shape, teachers: [teacher.shape])
      let trainer = try Trainer([stage], student: student, teachers: [teacher], train: data, on: communicator)
      let sampler = Sampler(
        lengths: data.lengths, batchSize: .examples(5), shuffle: true, groupByLength: true, seed: 7)
      let batches = (0..<3).flatMap { sampler.batches(epoch: $0) }
      return try (0..<Self.steps).map { try trainer.step($0 + 1, batch: batches[$0], epoch: 0) }
    }

    @Test func `a language model's terms are those of one rank, however it is divided`() throws {
      for terms in Self.languageLists {
        let reference = try languageRecords(terms, on: SoloCommunicator())
        expectAlike(try languageRecords(terms, on: world), reference, 1e-4, terms.map(\.kind).joined(separator: "+"))
      }
      let all = try #require(Self.languageLists.last)
      let reference = try languageRecords(all, on: SoloCommunicator())
      for sharding in StudentSharding.allCases {
        let split = Split(accumulation: 2, sharding: sharding, checkpointing: true)
        expectAlike(try languageRecords(all, split, on: world), reference, 1e-4, "\(split)")
      }
    }
  }
}
