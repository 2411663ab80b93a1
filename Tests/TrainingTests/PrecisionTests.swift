import Collectives
import Datasets
import Foundation
import Models
import Objectives
import Optimizers
import Teachers
import Tensors
import TestSupport
import Testing

@testable import Training

@Suite(.timeLimit(.minutes(2))) struct PrecisionTests {
  func trainer(_ precision: Precision, steps: Int, data: TokenizedDataset, rate: Double = 5e-3) throws -> Trainer {
    let teacher = ResidentTeacher(
      name: "teacher", model: try TinyTask.model(hidden: 32, layers: 2, seed: 9), train: data, validation: data,
      precision: precision)
    return try Trainer(
      TrainingConfiguration(
        seed: 7, totalSteps: steps, batchSize: 16,
        objective: DistillationObjective(crossEntropyWeight: 0.7, distillationWeight: 0.3, temperature: 2),
        schedule: Schedule(.constant, peak: rate, warmup: 0, total: steps), precision: precision),
      student: try TinyTask.model(hidden: 32, layers: 2, dropout: 0), teacher: teacher, train: data,
      on: SoloCommunicator())
  }

  func losses(_ trainer: Trainer, data: TokenizedDataset) throws -> [Double] {
    let sampler = Sampler(lengths: data.lengths, batchSize: 16, shuffle: true, groupByLength: true, seed: 7)
    let batches = (0..<8).flatMap { sampler.batches(epoch: $0) }
    return try (0..<trainer.configuration.totalSteps).map {
      try trainer.step($0 + 1, batch: batches[$0], epoch: 0).loss
    }
  }

  @Test func `training in bf16 reaches the loss of float32`() throws {
    let data = try TinyTask.data(128)
    let (exact, rounded) = (
      try losses(trainer(.fp32, steps: 48, data: data), data: data),
      try losses(trainer(.bf16, steps: 48, data: data), data: data)
    )
    // The first step sees the same weights; after that the two ways drift apart, but not in what they reach.
    #expect(abs(exact[0] - rounded[0]) < 0.01 * exact[0])
    let (a, b) = (exact.suffix(8).reduce(0, +) / 8, rounded.suffix(8).reduce(0, +) / 8)
    #expect(a < 0.6 * exact[0] && abs(a - b) < 0.1 * exact[0], "\(exact[0]) → \(a), \(b) in bf16")
  }

  @Test func `every step and evaluation reads the weights that the step before has left`() throws {
    let data = try TinyTask.data(64)
    let trainer = try trainer(.bf16, steps: 4, data: data)
    let batch = Array(0..<16)
    for step in 1...4 {
      let record = try trainer.step(step, batch: batch, epoch: 0)
      // A pass with copies of its own knows no older weights.
      let model = trainer.student
      let fresh = model.logits(data.batch(batch), precision: .bf16)
      let evaluated = try trainer.evaluate(data)
      let expected = try Evaluator.evaluate(data, names: ["0", "1"], on: SoloCommunicator()) {
        model.logits(data.batch($0), precision: .bf16)
      }
      #expect(evaluated.loss == expected.loss && evaluated.confusion == expected.confusion)
      // The loss of the next step is that of these logits, but that a recording pass also rounds what it keeps: the
      // sums before norms and the inputs of GELU. That is worth about a rounding of bf16, 2⁻⁸.
      let next = try trainer.step(step, batch: batch, epoch: 0)
      let hard = fresh.crossEntropySum(data.batch(batch).labels) / 16
      // Kernels without bf16 products add up in another order, and some roundings fall the other way.
      let (off, moved) = (abs(next.crossEntropy - hard), abs(next.crossEntropy - record.crossEntropy))
      #expect(off < 0x1p-6 * hard && moved > 2 * off, "\(record.crossEntropy) → \(next.crossEntropy), \(hard)")
    }
  }
}

extension Tensor {
  /// Σ −log softmax(row)[label], in double.
  fileprivate func crossEntropySum(_ labels: [Int32]) -> Double {
    (0..<rows).reduce(0.0) { sum, row in
      let values = rows(row..<row + 1).array.map(Double.init)
      return sum + log(values.map { exp($0) }.reduce(0, +)) - values[Int(labels[row])]
    }
  }
}
