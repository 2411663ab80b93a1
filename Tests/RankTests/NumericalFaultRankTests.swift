import Collectives
import Datasets
import Models
import Objectives
import Optimizers
import Tensors
import TestSupport
import Testing

@testable import Teachers
@testable import Training

/// A teacher whose logits for one example are infinite.
private final class OverflowingTeacher: Teacher {
  static let sample = 12
  let inner: any Teacher
  init(_ inner: any Teacher) { self.inner = inner }
  var name: String { inner.name }
  var classCount: Int { inner.classCount }
  var parameterCount: Int { inner.parameterCount }
  var shape: ModelShape? { inner.shape }
  var isCollective: Bool { inner.isCollective }
  var computedFLOPs: Double { inner.computedFLOPs }
  var ahead: (any TeacherAhead)? { nil }
  var keeper: (any SignalKeeper)? { nil }
  func takeRemark() -> String? { nil }

  func signals(for samples: [Int], in split: Split, needs: SignalNeeds) throws -> TeacherSignals {
    let signals = try inner.signals(for: samples, in: split, needs: needs)
    guard let row = samples.firstIndex(of: Self.sample), let logits = signals.logits?.materialized else { return signals }
    let copy = Tensor(uninitialized: logits.shape)
    copy.update(from: logits.converted(to: .float32))
    copy.rows(row..<row + 1).fill(.infinity)
    return TeacherSignals(.logits(copy))
  }
}

extension RankTests {
  /// A batch that cannot be learnt from leaves no trace.
  @Suite(.timeLimit(.minutes(2))) struct NumericalFaultTests {
    private func trainer(_ sharding: StudentSharding, _ precision: Precision) throws -> Trainer {
      let data = try TinyTask.data(13)
      let teacher = ResidentTeacher(
        name: "teacher", model: try TinyTask.model(hidden: 16, layers: 2, seed: 9), train: data, validation: data,
        precision: precision)
      let configuration = TrainingConfiguration(
        seed: 7, totalSteps: 8, batchSize: 4,
        objective: DistillationObjective(crossEntropyWeight: 0.4, distillationWeight: 0.6, temperature: 2),
        optimizer: AdamWConfiguration(weightDecay: 0.1), schedule: Schedule(.linear, peak: 1e-2, warmup: 2, total: 8),
        precision: precision, bucketBytes: 4096, sharding: sharding)
      return try Trainer(
        configuration, student: try TinyTask.model(hidden: 16, layers: 2), teacher: OverflowingTeacher(teacher),
        train: data, on: world)
    }

    private func bits(_ trainer: Trainer) throws -> [[UInt32]] {
      try trainer.settle()
      return trainer.student.weightTable.map { $0.tensor.array.map(\.bitPattern) }
    }

    @Test(arguments: StudentSharding.allCases, [Precision.fp32, .bf16])
    func `after a batch that overflows, weights are those of a run without it, bit for bit`(
      sharding: StudentSharding, precision: Precision
    ) throws {
      let batches = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [2, 5, 8, 11]]
      let (disturbed, plain) = (try trainer(sharding, precision), try trainer(sharding, precision))
      var leftOut = 0
      for (index, batch) in batches.enumerated() {
        let expected = try plain.step(index + 1, batch: batch, epoch: 0)
        for samples in index % 2 == 1 ? [[1, 3, OverflowingTeacher.sample, 7], batch] : [batch] {
          let step = index + 1 + leftOut
          let record = try disturbed.attempt(step, leftOut: leftOut, batch: samples, epoch: 0)
          #expect((record.fault != nil) == samples.contains(OverflowingTeacher.sample))
          #expect(record.step == step)
          if let fault = record.fault {
            leftOut += 1
            #expect(fault.terms == ["forward_kl"], "\(fault)")
          } else {
            #expect(record.loss == expected.loss && record.learningRate == expected.learningRate)
          }
        }
      }
      #expect(leftOut == 2)
      #expect(try bits(disturbed) == bits(plain))
    }
  }
}
