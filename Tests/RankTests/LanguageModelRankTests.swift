import Autograd
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
  /// A language model's losses are means over predicted tokens, wherever these are computed.
  @Suite(.timeLimit(.minutes(2))) struct LanguageModelTests {
    static let temperature = 2.0

    func configuration(accumulation: Int = 1, passTokens: Int = 2048, dropout: Double = 0.2) -> TrainingConfiguration {
      TrainingConfiguration(
        seed: 7, totalSteps: 6, batchSize: 5, accumulation: accumulation, passTokens: passTokens,
        objective: DistillationObjective(
          crossEntropyWeight: 0.4, distillationWeight: 0.6, temperature: LanguageModelTests.temperature),
        schedule: Schedule(.linear, peak: 1e-2, warmup: 2, total: 6), dropout: dropout, bucketBytes: 4096)
    }

    func trainer(
      _ configuration: TrainingConfiguration, _ data: PackedDocuments, on communicator: any Communicator
    ) throws -> Trainer {
      let teacher = ResidentTeacher(
        name: "teacher", model: try TinyLanguageModel.model(hidden: 16, seed: 9), train: data, validation: data)
      return try Trainer(
        configuration, student: try TinyLanguageModel.model(hidden: 8), teacher: teacher, train: data, on: communicator)
    }

    func records(_ trainer: Trainer, _ data: PackedDocuments) throws -> [StepRecord] {
      let sampler = Sampler(lengths: data.lengths, batchSize: 5, shuffle: true, groupByLength: true, seed: 7)
      let batches = (0..<6).flatMap { sampler.batches(epoch: $0) }
      return try (0..<trainer.configuration.totalSteps).map { try trainer.step($0 + 1, batch: batches[$0], epoch: 0) }
    }

    @Test(arguments: [(1, 2048), (2, 2048), (4, 33), (1, 1)])
    func `losses and norms are those of one rank, dropout included`(accumulation: Int, passTokens: Int) throws {
      let data = try TinyLanguageModel.documents(40, rowLength: 48)
      let reference = try records(trainer(configuration(), data, on: SoloCommunicator()), data)
      let shared = try trainer(configuration(accumulation: accumulation, passTokens: passTokens), data, on: world)
      let mine = try records(shared, data)
      for (a, b) in zip(mine, reference) {
        for key in [\StepRecord.loss, \.crossEntropy, \.distillation, \.gradientNorm] {
          #expect(abs(a[keyPath: key] - b[keyPath: key]) <= 1e-4 * abs(b[keyPath: key]), "step \(a.step) \(key)")
        }
        #expect(a.tokens == b.tokens && a.lossRows == b.lossRows && a.lossRows < a.tokens && a.examples <= 5)
      }
      #expect(reference[5].loss < reference[0].loss)
    }

    func llama(hidden: Int, layers: Int, tied: Bool, seed: UInt64) throws -> any Model {
      let configuration = try ModelConfiguration(
        [
          "model_type": "llama", "vocab_size": 20, "hidden_size": .int(hidden), "num_hidden_layers": .int(layers),
          "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": .int(2 * hidden),
          "max_position_embeddings": 64, "tie_word_embeddings": .bool(tied), "initializer_range": 0.2,
        ], source: "tiny llama")
      return try ModelLoader.load(configuration, from: .random, seed: seed).model
    }

    @Test(arguments: StudentSharding.allCases, [false, true])
    func `a Llama shared out in any way loses what it loses on one rank`(
      _ sharding: StudentSharding, _ tied: Bool
    ) throws {
      let data = try TinyLanguageModel.documents(40, rowLength: 48)
      func records(
        _ configuration: TrainingConfiguration, on communicator: any Communicator
      ) throws -> (records: [StepRecord], perplexity: Double) {
        let teacher = ResidentTeacher(
          name: "teacher", model: try llama(hidden: 32, layers: 2, tied: false, seed: 9), train: data, validation: data)
        let trainer = try Trainer(
          configuration, student: try llama(hidden: 16, layers: 3, tied: tied, seed: 4), teacher: teacher,
          train: data, on: communicator)
        return (try self.records(trainer, data), try trainer.evaluate(data).perplexity)
      }
      let reference = try records(configuration(), on: SoloCommunicator())
      var shared = configuration(accumulation: 2, passTokens: 64)
      shared.sharding = sharding
      shared.activationCheckpointing = tied
      let mine = try records(shared, on: world)
      for (a, b) in zip(mine.records, reference.records) {
        for key in [\StepRecord.loss, \.crossEntropy, \.distillation, \.gradientNorm] {
          #expect(abs(a[keyPath: key] - b[keyPath: key]) <= 1e-4 * abs(b[keyPath: key]), "step \(a.step) \(key)")
        }
      }
      #expect(abs(mine.perplexity - reference.perplexity) <= 1e-4 * reference.perplexity)
      #expect(mine.records[5].loss < mine.records[0].loss)
    }

    @Test func `the losses of a step are the means over its predicted tokens, computed token by token`() throws {
      let data = try TinyLanguageModel.documents(12, rowLength: 48)
      let all = Array(0..<data.count)
      let record = try trainer(configuration(dropout: 0), data, on: world).step(1, batch: all, epoch: 0)
      let batch = data.batch(all)
      let rows = batch.countedTokens.map(Int.init)
      let student = try TinyLanguageModel.model(hidden: 8).logits(batch)
      let teacher = try TinyLanguageModel.model(hidden: 16, seed: 9).logits(batch)
      var (hard, soft) = (0.0, 0.0)
      for row in rows {
        hard -= logSoftmax(student, row, temperature: 1)[Int(batch.targets[row])]
        let p = logSoftmax(teacher, row, temperature: LanguageModelTests.temperature)
        let q = logSoftmax(student, row, temperature: LanguageModelTests.temperature)
        soft += 4 * zip(p, q).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
      }
      let count = Double(rows.count)
      #expect(record.lossRows == rows.count && record.lossRows == data.predictedTokens)
      #expect(abs(record.crossEntropy - hard / count) < 1e-5 * hard / count)
      #expect(abs(record.distillation - soft / count) < 1e-5 * soft / count)
    }

    private func logSoftmax(_ logits: Tensor, _ row: Int, temperature: Double) -> [Double] {
      let scaled = logits.rows(row..<row + 1).array.map { Double($0) / temperature }
      let peak = scaled.max() ?? 0
      let normal = peak + log(scaled.reduce(0) { $0 + exp($1 - peak) })
      return scaled.map { $0 - normal }
    }

    @Test(arguments: [1, 7, 48, 200]) func `perplexity counts every predicted token exactly once`(
      _ rowLength: Int
    ) throws {
      let data = try TinyLanguageModel.documents(30, rowLength: rowLength, seed: 4)
      let model = try TinyLanguageModel.model(hidden: 8)
      func evaluate(_ communicator: any Communicator) throws -> EvaluationResult {
        try Evaluator.evaluate(documents: data, on: communicator) {
          model.crossEntropySum(data.batch($0), precision: .fp32)
        }
      }
      let (mine, alone) = (try evaluate(world), try evaluate(SoloCommunicator()))
      let whole = try TinyLanguageModel.documents(30, rowLength: 64, seed: 4)
      #expect(mine.count == whole.predictedTokens && mine.isOfDocuments)
      #expect(abs(mine.loss - alone.loss) < 1e-6 * alone.loss)
      #expect(mine.value(.perplexity) == exp(mine.loss))
      let batch = data.batch(Array(0..<data.count))
      let logits = model.logits(batch)
      let sum = batch.countedTokens.reduce(0.0) {
        $0 - logSoftmax(logits, Int($1), temperature: 1)[Int(batch.targets[Int($1)])]
      }
      #expect(abs(mine.loss - sum / Double(mine.count)) < 1e-5 * mine.loss)
    }

    @Test func `a teacher's hidden states say what its logits say`() throws {
      let data = try TinyLanguageModel.documents(12, rowLength: 48)
      let model = try TinyLanguageModel.model(hidden: 16, seed: 9)
      let batch = data.batch([0, 1])
      let rows = batch.countedTokens
      let expected = rows.map { model.logits(batch).rows(Int($0)..<Int($0) + 1).array }
      let teacher = ResidentTeacher(name: "teacher", model: model, train: data, validation: data)
      let signals = try teacher.logits(for: [0, 1], in: .train)
      #expect(signals.rowCount == rows.count)
      for (row, values) in expected.enumerated() {
        let mine = signals.materialized.rows(row..<row + 1).array
        #expect(zip(mine, values).allSatisfy { abs($0 - $1) < 1e-5 })
      }
    }
  }
}
