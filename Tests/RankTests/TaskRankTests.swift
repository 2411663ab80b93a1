import Collectives
import Datasets
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
  /// Taggers, scorers and classifiers of several labels train and are measured alike on any number of ranks.
  @Suite(.timeLimit(.minutes(4))) struct TaskTests {
    static let kinds: [TaskKind] = [.tokenClassification, .regression, .multiLabel]

    private func data(_ kind: TaskKind, _ count: Int) throws -> TokenizedDataset {
      let examples = (0..<count).map { index -> TokenizedExample in
        var random = RandomStream(seed: 4, purpose: "tiny task of a kind", UInt64(index))
        let ids = (0..<random.below(12) + 1).map { _ in Int32(random.below(40)) }
        let isUnlabelled = index % 5 == 4
        switch kind.definition.targets {
        case .score: return TokenizedExample(ids: ids, values: [isUnlabelled ? .nan : Float(random.below(50)) / 10])
        case .labelSet:
          return TokenizedExample(
            ids: ids, values: (0..<3).map { _ in isUnlabelled ? .nan : Float(random.below(2)) })
        default:
          return TokenizedExample(
            ids: ids,
            targets: ids.enumerated().map { place, id in
              place % 3 == 2 ? Batch.uncounted : isUnlabelled ? Batch.unlabelled : id % 3
            })
        }
      }
      return try TokenizedDataset(
        examples: examples, kind: kind, labels: kind == .regression ? nil : LabelSet(count: 3))
    }

    private func model(_ kind: TaskKind, hidden: Int, layers: Int, seed: UInt64) throws -> any Model {
      let outputs = kind == .regression ? 1 : 3
      let configuration = try TinyTask.configuration(hidden: hidden, layers: layers, dropout: 0.1)
        .with(labels: .generic(outputs)).with(kind: kind)
      return try ModelLoader.load(configuration, from: .random, seed: seed).model
    }

    private func records(
      _ kind: TaskKind, accumulation: Int = 1, sharding: StudentSharding = .optimizer, isCached: Bool = false,
      on communicator: any Communicator
    ) throws -> ([StepRecord], EvaluationResult) {
      let data = try data(kind, 17)
      let resident = ResidentTeacher(
        name: "teacher", model: try model(kind, hidden: 24, layers: 3, seed: 9), train: data, validation: data)
      let teacher: any Teacher =
        isCached
        ? CachedTeacher(
          resident, train: data, validation: data,
          store: SignalStore(root: nil, key: Digest.of("tasks"), width: resident.classCount)) : resident
      let (hard, soft) = ObjectiveRegistry.defaults(of: kind.definition)
      let objective = DistillationObjective([
        ObjectiveTerm(try #require(hard), weight: Scheduled(0.4)), ObjectiveTerm(soft, weight: Scheduled(0.6)),
      ])
      let student = try model(kind, hidden: 16, layers: 2, seed: 2)
      let configuration = TrainingConfiguration(
        seed: 7, totalSteps: 4, batchSize: .examples(7), accumulation: accumulation, objective: objective,
        schedule: Schedule(.constant, peak: 2e-3, warmup: 0, total: 4), metric: .loss, bucketBytes: 4096,
        sharding: sharding)
      let trainer = try Trainer(configuration, student: student, teacher: teacher, train: data, on: communicator)
      let sampler = Sampler(
        lengths: data.lengths, batchSize: .examples(7), shuffle: true, groupByLength: true, seed: 7)
      let batches = (0..<3).flatMap { sampler.batches(epoch: $0) }
      let records = try (0..<4).map { try trainer.step($0 + 1, batch: batches[$0], epoch: 0) }
      return (records, try trainer.evaluate(data))
    }

    @Test(arguments: kinds)
    func `losses, terms, norms and figures do not depend on ranks, micro-batches, sharding or cache`(
      kind: TaskKind
    ) throws {
      let (reference, measured) = try records(kind, on: SoloCommunicator())
      for (accumulation, sharding, isCached) in [
        (1, StudentSharding.optimizer, false), (3, .gradients, true), (2, .parameters, false),
      ] {
        let (mine, figures) = try records(
          kind, accumulation: accumulation, sharding: sharding, isCached: isCached, on: world)
        for (a, b) in zip(mine, reference) {
          for key in [\StepRecord.loss, \.crossEntropy, \.distillation, \.gradientNorm] {
            #expect(
              abs(a[keyPath: key] - b[keyPath: key]) <= 1e-4 * max(1e-2, abs(b[keyPath: key])), "\(kind) \(sharding)")
          }
          #expect(a.lossRows == b.lossRows)
        }
        #expect(figures.count == measured.count && figures.count > 0)
        #expect(abs(figures.loss - measured.loss) <= 1e-4 * abs(measured.loss))
        for (metric, value) in measured.values {
          let own = figures.value(metric)
          #expect(own.isNaN && value.isNaN || abs(own - value) < 0.1, "\(metric)")
        }
      }
    }

    @Test(arguments: kinds) func `figures of one model are equal on any number of ranks`(kind: TaskKind) throws {
      let data = try data(kind, 37)
      let model = try model(kind, hidden: 16, layers: 2, seed: 3)
      let names = kind == .tokenClassification ? ["O", "B-X", "I-X"] : (0..<model.classCount).map(String.init)
      func evaluate(_ communicator: any Communicator) throws -> EvaluationResult {
        try Evaluator.evaluate(data, names: names, on: communicator) {
          model.logits(data.batch($0), independentRows: true)
        }
      }
      let (mine, alone) = (try evaluate(world), try evaluate(SoloCommunicator()))
      #expect(mine.values == alone.values && mine.parts == alone.parts && mine.count == alone.count)
      #expect(mine.confusion == alone.confusion && abs(mine.loss - alone.loss) <= 1e-9 * abs(alone.loss))
      #expect(!mine.values.isEmpty)
    }
  }
}
