import Autograd
import Collectives
import Datasets
import Foundation
import Layers
import Models
import Objectives
import Optimizers
import Platform
import Teachers
import Tensors
import TestSupport
import Testing

@testable import Training

/// A model that does not tell of its tables, so that they are trained as any other weight.
private final class WithoutLookups: Model {
  private let model: any Model
  init(_ model: any Model) { self.model = model }
  var parameters: [Parameter] { model.parameters }
  var blocks: [[Parameter]] { model.blocks }
  var weightTable: [WeightBinding] { model.weightTable }
  var classCount: Int { model.classCount }
  func initialize(_ parameter: Parameter, seed: UInt64) { model.initialize(parameter, seed: seed) }
  func forwardFLOPs(lengths: [Int]) -> Double { model.forwardFLOPs(lengths: lengths) }
  func forward(_ batch: Batch, _ context: ForwardContext) -> Variable { model.forward(batch, context) }
}

extension RankTests {
  /// Training a table by the rows that steps touch must not be seen from outside.
  @Suite(.timeLimit(.minutes(2))) struct TableTests {
    static let steps = 24

    func trainer(
      sparse: Bool, decay: Double, accumulation: Int = 1, limit: Double? = 0.5, nodeRanks: Int? = nil,
      on communicator: any Communicator
    ) throws -> Trainer {
      let data = try TinyTask.data(13)
      let model = try TinyTask.model(hidden: 8, layers: 1)
      return try Trainer(
        TrainingConfiguration(
          seed: 7, totalSteps: Self.steps, batchSize: 2, accumulation: accumulation, passTokens: 9,
          objective: DistillationObjective(crossEntropyWeight: 1, distillationWeight: 0, temperature: 1),
          optimizer: AdamWConfiguration(weightDecay: decay), maximumGradientNorm: limit,
          schedule: Schedule(.linear, peak: 1e-2, warmup: 5, total: Self.steps), bucketBytes: 4096,
          exchange: ExchangeOptions(nodeRanks: nodeRanks)),
        student: sparse ? model : WithoutLookups(model), teacher: nil, train: data, on: communicator)
    }

    /// Two examples a step; examples 11 and 12 at the first and the last steps only, so that some words wait long.
    func batch(_ step: Int) -> [Int] {
      step == 1 || step == Self.steps - 1 ? [11, 12] : [step % 11, (step * 5 + 1) % 11]
    }

    func expectEqual(_ a: Trainer, _ b: Trainer, _ what: String) throws {
      try a.settle()
      try b.settle()
      for (mine, theirs) in zip(a.student.weightTable, b.student.weightTable) {
        #expect(mine.tensor.array.map(\.bitPattern) == theirs.tensor.array.map(\.bitPattern), "\(what): \(mine.name)")
      }
    }

    @Test(arguments: [(0.0, 1), (0.1, 1), (0.1, 2)], [nil, 1, 2])
    func `weights are, bit for bit, those of a dense gradient`(
      work: (decay: Double, accumulation: Int), nodeRanks: Int?
    )
      throws
    {
      let (decay, accumulation) = work
      let sparse = try trainer(
        sparse: true, decay: decay, accumulation: accumulation, nodeRanks: nodeRanks, on: world)
      let dense = try trainer(
        sparse: false, decay: decay, accumulation: accumulation, nodeRanks: nodeRanks, on: world)
      #expect(sparse.tables.count == 1 && dense.tables.isEmpty)
      for step in 1...Self.steps {
        let (a, b) = (
          try sparse.step(step, batch: batch(step), epoch: 0), try dense.step(step, batch: batch(step), epoch: 0)
        )
        #expect(a.loss == b.loss, "step \(step)")
        #expect(abs(a.gradientNorm - b.gradientNorm) <= 1e-12 * b.gradientNorm, "step \(step)")
        if step == 10 { try expectEqual(sparse, dense, "step 10") }
      }
      try expectEqual(sparse, dense, "the end")
    }

    @Test func `without settling, nodes lack each other's newest rows`() throws {
      let trainer = try trainer(sparse: true, decay: 0, nodeRanks: 1, on: world)
      for step in 1...3 { _ = try trainer.step(step, batch: batch(step), epoch: 0) }
      let words = trainer.tables[0].parameter.value
      let before = try world.allGather(words.array)
      try trainer.settle()
      let after = try world.allGather(words.array)
      #expect(after.allSatisfy { $0 == after[0] })
      #expect(world.size == 1 || before.contains { $0 != before[0] })
    }

    @Test func `an evaluation sees the weights of dense training`() throws {
      let data = try TinyTask.data(13)
      let (sparse, dense) = (
        try trainer(sparse: true, decay: 0.1, on: world), try trainer(sparse: false, decay: 0.1, on: world)
      )
      for step in 1...6 {
        _ = try sparse.step(step, batch: batch(step), epoch: 0)
        _ = try dense.step(step, batch: batch(step), epoch: 0)
        if step % 3 == 0 {
          let (a, b) = (try sparse.evaluate(data), try dense.evaluate(data))
          #expect(a == b, "step \(step)")
        }
      }
    }

    /// Steps 1 to 9, a checkpoint, and the rest on another communicator from its files.
    private func resumed(
      _ directory: String, from first: Trainer, on one: any Communicator, to second: Trainer, on other: any Communicator
    ) throws {
      for step in 1...9 { _ = try first.step(step, batch: batch(step), epoch: 0) }
      var state = TrainingState()
      state.step = 9
      let store = CheckpointStore(directory, planDigest: "plan", keep: 1, on: one)
      try store.save(state, of: first)
      try store.finishSaving()
      try world.barrier()
      let again = CheckpointStore(directory, planDigest: "plan", keep: 1, on: other)
      #expect(try again.restore(into: second).state == state)
      for step in 10...Self.steps { _ = try second.step(step, batch: batch(step), epoch: 0) }
    }

    @Test func `a checkpoint serves tables with and without lookups, on any number of ranks`() throws {
      let root = try world.broadcast(text: Shared.temporaryDirectory("tables"))
      defer {
        try? world.barrier()
        if world.isFirst { try? FileManager.default.removeItem(atPath: root) }
      }
      // From all ranks to all, to and from a file that dense training writes: not a bit is lost.
      let whole = try trainer(sparse: false, decay: 0.1, on: world)
      for step in 1...Self.steps { _ = try whole.step(step, batch: batch(step), epoch: 0) }
      for (from, to) in [(true, true), (true, false), (false, true)] {
        let second = try trainer(sparse: to, decay: 0.1, on: world)
        try resumed(
          "\(root)/\(from)-\(to)", from: trainer(sparse: from, decay: 0.1, on: world), on: world, to: second, on: world)
        try expectEqual(second, whole, "from \(from ? "rows" : "dense") to \(to ? "rows" : "dense")")
      }
      // From all ranks to each one alone, and back: sums are in another order there.
      let alone = SoloCommunicator()
      let single = try trainer(sparse: true, decay: 0.1, on: alone)
      try resumed(
        "\(root)/alone", from: trainer(sparse: true, decay: 0.1, on: world), on: world, to: single, on: alone)
      let back = try trainer(sparse: true, decay: 0.1, on: world)
      try resumed(
        "\(root)/back-\(world.rank)", from: trainer(sparse: true, decay: 0.1, on: alone), on: alone,
        to: back, on: world)
      for trainer in [single, back] {
        try trainer.settle()
        try expectClose(trainer.student, whole.student)
      }
    }

    private func expectClose(_ a: any Model, _ b: any Model) throws {
      // A key's bias has a gradient of rounding errors only, see `TrainingTests`.
      for (a, b) in zip(a.weightTable, b.weightTable) where !a.name.hasSuffix("key.bias") {
        var difference = 0.0
        for (x, y) in zip(a.tensor.array, b.tensor.array) { difference += Double(x - y) * Double(x - y) }
        #expect(difference.squareRoot() <= 2e-3 * b.tensor.sumOfSquares.squareRoot(), "\(a.name)")
      }
    }

    @Test func `gradients and moments of a table have room for a rank's share`() throws {
      let (sparse, dense) = (
        try trainer(sparse: true, decay: 0, on: world), try trainer(sparse: false, decay: 0, on: world)
      )
      _ = try sparse.step(1, batch: [0, 1], epoch: 0)
      let table = sparse.tables[0]
      let words = Set(try TinyTask.data(13).batch([0, 1]).tokens).count
      #expect(dense.flat.gradients.count - sparse.flat.gradients.count >= table.parameter.count - 16 * world.size)
      // The owner with the most rows decides how many places all have.
      #expect(table.parameter.gradient!.rows >= words && table.parameter.gradient!.rows <= words * world.size)
      #expect(world.size > 1 || table.parameter.gradient!.rows < table.parameter.value.rows)
      #expect(table.optimizer.firstMoments.rows <= table.parameter.value.rows / world.size + 1)
    }
  }
}
