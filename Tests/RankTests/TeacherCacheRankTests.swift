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
  /// What a teacher said once must be what it would say again, to the last bit.
  ///
  /// Beside the ranks, and not among the unit tests, since those switch the instruction set under each other.
  @Suite(.timeLimit(.minutes(2))) struct TeacherCacheTests {
    /// A teacher that counts the examples it is asked for.
    final class Counting: Teacher {
      let teacher: any Teacher
      var asked = 0
      init(_ teacher: any Teacher) { self.teacher = teacher }
      var name: String { teacher.name }
      var classCount: Int { teacher.classCount }
      var parameterCount: Int { teacher.parameterCount }
      var shape: ModelShape? { nil }
      var isCollective: Bool { false }
      var computedFLOPs: Double { 0 }
      var ahead: (any TeacherAhead)? { nil }
      var keeper: (any SignalKeeper)? { nil }
      func takeRemark() -> String? { nil }
      func signals(for samples: [Int], in split: Split, needs: SignalNeeds) throws -> TeacherSignals {
        asked += samples.count
        return try teacher.signals(for: samples, in: split, needs: needs)
      }
    }

    static let count = 41
    static let epochs = 3

    func data() throws -> TokenizedDataset {
      // The task of `TinyTask`, with a first id that makes every example another one.
      let tiny = try TinyTask.data(Self.count)
      return try TokenizedDataset(
        examples: (0..<Self.count).map { index in
          let ids = [Int32(index % 40)] + Array(tiny.tokens(index)) + (index >= 40 ? [1, 1, 1] : [])
          return TokenizedExample(ids: ids, label: tiny.label(index))
        }, labels: LabelSet(count: 2))
    }

    /// Losses and gradient norms of three epochs, and how many examples this rank's teacher was asked for.
    func train(cache root: String?, on communicator: any Communicator, studentSeed: UInt64 = 2, batch: Int = 7) throws
      -> (curve: [Double], asked: Int)
    {
      let data = try data()
      let counting = Counting(
        ResidentTeacher(
          name: "teacher", model: try TinyTask.model(hidden: 16, layers: 2, seed: 9), train: data, validation: data))
      let teacher: any Teacher
      if let root {
        let key = Digest.of("the teacher of this test")
        let store = SignalStore(
          root: root, key: key, width: 2, expected: Self.count, limits: .init(writers: communicator.size))
        teacher = CachedTeacher(counting, train: data, validation: data, store: store)
      } else {
        teacher = counting
      }
      let sampler = Sampler(
        lengths: data.lengths, batchSize: .examples(batch), shuffle: true, groupByLength: true, seed: studentSeed)
      let total = Self.epochs * sampler.stepsPerEpoch
      let trainer = try Trainer(
        TrainingConfiguration(
          seed: studentSeed, totalSteps: total, batchSize: .examples(batch), accumulation: 2,
          objective: DistillationObjective(crossEntropyWeight: 0.3, distillationWeight: 0.7, temperature: 2),
          schedule: Schedule(.linear, peak: 1e-2, warmup: 2, total: total), bucketBytes: 4096),
        student: try TinyTask.model(hidden: 8, layers: 2, seed: studentSeed), teacher: teacher, train: data,
        on: communicator)
      var curve: [Double] = []
      for epoch in 0..<Self.epochs {
        for batch in sampler.batches(epoch: epoch) {
          let record = try trainer.step(curve.count / 2 + 1, batch: batch, epoch: 0)
          curve += [record.loss, record.gradientNorm]
        }
        #expect(try trainer.shareSignals() == [])
      }
      return (curve, counting.asked)
    }

    func inFolder(_ body: (String) throws -> Void) throws {
      let folder = try world.broadcast(text: Shared.temporaryDirectory("teacher-cache"))
      defer {
        try? world.barrier()
        if world.isFirst { try? FileManager.default.removeItem(atPath: folder) }
      }
      try body(folder)
    }

    @Test func `the losses are the same bits with and without the cache, cold and warm`() throws {
      try inFolder { folder in
        let plain = try train(cache: nil, on: world)
        let cold = try train(cache: folder, on: world)
        let warm = try train(cache: folder, on: world)
        #expect(cold.curve == plain.curve && warm.curve == plain.curve)
        // Filled by runs with other batches: the values are still those of the example alone.
        let other = try train(cache: folder, on: world, studentSeed: 5, batch: 3)
        let otherPlain = try train(cache: nil, on: world, studentSeed: 5, batch: 3)
        #expect(other.curve == otherPlain.curve)
      }
    }

    @Test func `over all ranks and epochs the teacher sees each example once, and in a second run none`() throws {
      try inFolder { folder in
        let first = try train(cache: folder, on: world)
        #expect(try world.allReduce(first.asked, .sum) == Self.count)
        let second = try train(cache: folder, on: world, studentSeed: 3, batch: 5)
        #expect(try world.allReduce(second.asked, .sum) == 0)
        let plain = try train(cache: nil, on: world)
        #expect(try world.allReduce(plain.asked, .sum) == Self.epochs * Self.count)
      }
    }

    @Test func `another number of ranks reads the same entries`() throws {
      try inFolder { folder in
        let together = try train(cache: folder, on: world)
        try world.barrier()
        let alone = try train(cache: folder, on: SoloCommunicator())
        #expect(alone.asked == 0)
        for (a, b) in zip(alone.curve, together.curve) { #expect(abs(a - b) <= 1e-4 * abs(a)) }
      }
    }

    @Test func `a cache that cannot be written changes nothing but the work`() throws {
      try inFolder { folder in
        let file = joinPath(folder, "file-\(world.rank)")
        try writeFileAtomically(file, "not a folder")
        let data = try data()
        let store = SignalStore(root: file, key: Digest.of("key"), width: 2)
        let resident = ResidentTeacher(
          name: "teacher", model: try TinyTask.model(hidden: 16, layers: 1), train: data, validation: data)
        let cached = CachedTeacher(resident, train: data, validation: data, store: store)
        let samples = Array(0..<Self.count)
        let plain = try resident.logits(for: samples, in: .train).materialized.array
        for _ in 0..<2 { #expect(try cached.logits(for: samples, in: .train).materialized.array == plain) }
        #expect(
          cached.statistics.misses == Self.count && cached.takeRemark()?.contains("no longer kept on disk") == true)
      }
    }

    @Test(arguments: [16, 32, 50, 128], [Precision.fp32, .bf16])
    func `a teacher says the same of an example in every batch`(hidden: Int, precision: Precision) throws {
      let data = try data()
      let teacher = ResidentTeacher(
        name: "teacher", model: try TinyTask.model(hidden: hidden, layers: 2, seed: 4), train: data, validation: data,
        precision: precision)
      let all = try teacher.logits(for: Array(0..<Self.count), in: .train).materialized.array
      for sample in 0..<Self.count {
        for batch in [[sample], [(sample + 1) % Self.count, sample], Array(0..<sample % 9) + [sample]] {
          let logits = try teacher.logits(for: batch, in: .train).materialized.array
          #expect(Array(logits.suffix(2)) == Array(all[2 * sample..<2 * sample + 2]), "\(sample) of \(batch.count)")
        }
      }
    }
  }
}
