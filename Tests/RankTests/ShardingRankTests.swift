import Autograd
import Collectives
import Datasets
import Foundation
import Layers
import Models
import Objectives
import Optimizers
import Platform
import Tensors
import TestSupport
import Testing

@testable import Training

/// A model whose words are its classes too: a weight that the first block reads and the last.
private final class TiedModel: Model {
  let words: Parameter
  let inner = [Linear("layers.0", inputs: 16, outputs: 16), Linear("layers.1", inputs: 16, outputs: 16)]
  let norm = LayerNorm("norm", size: 16, epsilon: 1e-5)

  init() {
    words = Parameter("words", randomTensor([40, 16], seed: 5, scale: 0.3), decays: true)
    for (index, layer) in inner.enumerated() {
      layer.weight.value.update(from: randomTensor([16, 16], seed: UInt64(index), scale: 0.3))
    }
  }

  var parameters: [Parameter] { [words] + inner.flatMap(\.parameters) + norm.parameters }
  var blocks: [[Parameter]] { [[words]] + inner.map(\.parameters) + [norm.parameters + [words]] }
  var weightTable: [WeightBinding] { [] }
  var classCount: Int { 40 }
  func initialize(_ parameter: Parameter, seed: UInt64) {}
  func forwardFLOPs(lengths: [Int]) -> Double { 1 }

  func forward(_ batch: Batch, _ context: ForwardContext) -> Variable {
    var x = context.block(0) { context.tape.embedding(tables: [words], ids: [batch.tokens]) }
    for (index, layer) in inner.enumerated() {
      x = context.block(index + 1, x) { x, context in layer(x, activation: .tanh, context) }
    }
    let first = Array(batch.offsets.dropLast())
    let states = context.block(3, x) { x, context in self.norm(context.tape.selectRows(x, first), context) }
    // As a loss that makes the logits itself: behind the block, on the same weights.
    return context.tape.linear(states, weight: words, bias: nil)
  }
}

extension RankTests {
  /// What ranks share out of a student must not be seen from outside.
  @Suite(.timeLimit(.minutes(3))) struct ShardingTests {
    static let steps = 5

    struct Case: CustomTestStringConvertible {
      var sharding = StudentSharding.optimizer
      var accumulation = 1
      var passTokens = 2048
      var batch = 5
      var precision = Precision.fp32
      var again = false
      var limit: Double? = 0.5
      /// The most ranks that share memory.
      var nodeRanks: Int?
      var wires = (gradients: ExchangeOptions.Wire.fp32, weights: ExchangeOptions.Wire.fp32)
      var testDescription: String {
        "\(sharding) \(accumulation)×\(passTokens) of \(batch), \(precision)\(again ? ", again" : "")"
      }
    }

    func trainer(_ values: Case, model: (any Model)? = nil, on communicator: any Communicator) throws -> Trainer {
      let hidden = values.precision == .bf16 ? 16 : 8
      return try Trainer(
        TrainingConfiguration(
          seed: 7, totalSteps: Self.steps, batchSize: .examples(values.batch), accumulation: values.accumulation,
          passTokens: values.passTokens,
          objective: DistillationObjective(crossEntropyWeight: 1, distillationWeight: 0, temperature: 1),
          optimizer: AdamWConfiguration(weightDecay: 0.1), maximumGradientNorm: values.limit,
          schedule: Schedule(.linear, peak: 1e-2, warmup: 2, total: Self.steps), precision: values.precision,
          bucketBytes: 2048, sharding: values.sharding,
          exchange: ExchangeOptions(
            gradients: values.wires.gradients, weights: values.wires.weights, nodeRanks: values.nodeRanks),
          activationCheckpointing: values.again),
        student: try model ?? TinyTask.model(hidden: hidden, layers: 3), teacher: nil, train: try TinyTask.data(13),
        on: communicator)
    }

    func batch(_ step: Int, _ size: Int) -> [Int] { (0..<size).map { (step * 5 + $0 * 3) % 13 } }

    func records(_ trainer: Trainer, _ steps: ClosedRange<Int> = 1...ShardingTests.steps) throws -> [StepRecord] {
      guard case .examples(let size) = trainer.configuration.batchSize else { return [] }
      return try steps.map { try trainer.step($0, batch: batch($0, size), epoch: 0) }
    }

    func bits(_ trainer: Trainer) throws -> [[UInt32]] {
      try trainer.settle()
      return trainer.student.parameters.map { $0.value.array.map(\.bitPattern) }
    }

    /// Where every rank has one pass, sums are in the same order whoever keeps them.
    @Test(arguments: StudentSharding.allCases, [Precision.fp32, .bf16])
    func `one pass comes to the same bits, however much is shared out`(sharding: StudentSharding, precision: Precision)
      throws
    {
      for (batch, again) in [(5, false), (5, true), (1, false)] {
        let values = Case(sharding: sharding, batch: batch, precision: precision, again: again)
        var plain = values
        plain.sharding = .optimizer
        plain.again = false
        let (shared, reference) = (try trainer(values, on: world), try trainer(plain, on: world))
        let (mine, theirs) = (try records(shared), try records(reference))
        for (a, b) in zip(mine, theirs) {
          #expect(a.loss == b.loss && abs(a.gradientNorm - b.gradientNorm) <= 1e-12 * b.gradientNorm, "step \(a.step)")
        }
        #expect(try bits(shared) == bits(reference))
      }
    }

    @Test(arguments: StudentSharding.allCases, [(1, 7), (2, 2048), (4, 2048), (2, 1)])
    func `losses and norms of several passes are those of one rank`(sharding: StudentSharding, split: (Int, Int))
      throws
    {
      let alone = try records(trainer(Case(sharding: .none), on: SoloCommunicator()))
      let values = Case(sharding: sharding, accumulation: split.0, passTokens: split.1)
      for (a, b) in zip(try records(trainer(values, on: world)), alone) {
        #expect(abs(a.loss - b.loss) <= 1e-4 * abs(b.loss), "step \(a.step)")
        #expect(abs(a.gradientNorm - b.gradientNorm) <= 1e-4 * b.gradientNorm, "step \(a.step)")
      }
    }

    @Test(arguments: StudentSharding.allCases, [false, true])
    func `a weight of two blocks gets the gradient of both`(sharding: StudentSharding, again: Bool) throws {
      let shared = try trainer(Case(sharding: sharding, again: again), model: TiedModel(), on: world)
      let reference = try trainer(Case(sharding: .optimizer), model: TiedModel(), on: world)
      #expect(try records(shared).map(\.loss) == records(reference).map(\.loss))
      #expect(try bits(shared) == bits(reference))
    }

    private func llama(tied: Bool) throws -> any Model {
      let configuration = try ModelConfiguration(
        [
          "model_type": "llama", "vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2,
          "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 32, "max_position_embeddings": 64,
          "rms_norm_eps": 1e-5, "tie_word_embeddings": .bool(tied), "initializer_range": 0.3,
        ], source: "tiny llama")
      return try ModelLoader.load(configuration, from: .random, seed: 4).model
    }

    @Test(arguments: StudentSharding.allCases, [true, false])
    func `a language model learns the same, its head among what is shared out`(sharding: StudentSharding, tied: Bool)
      throws
    {
      let data = try TinyLanguageModel.documents(30, rowLength: 24)
      func trainer(
        _ sharding: StudentSharding, _ precision: Precision, again: Bool, passTokens: Int,
        on communicator: any Communicator
      ) throws -> Trainer {
        try Trainer(
          TrainingConfiguration(
            seed: 7, totalSteps: 4, batchSize: 5, passTokens: passTokens,
            objective: DistillationObjective(crossEntropyWeight: 1, distillationWeight: 0, temperature: 1),
            schedule: Schedule(.constant, peak: 1e-2, warmup: 0, total: 4), precision: precision, bucketBytes: 2048,
            sharding: sharding, activationCheckpointing: again),
          student: try llama(tied: tied), teacher: nil, train: data, on: communicator)
      }
      for (precision, again) in [(Precision.fp32, false), (.fp32, true), (.bf16, true)] {
        let shared = try trainer(sharding, precision, again: again, passTokens: 2048, on: world)
        let plain = try trainer(.optimizer, precision, again: false, passTokens: 2048, on: world)
        for step in 1...4 {
          let batch = (0..<5).map { (step * 3 + $0) % data.count }
          let (a, b) = (
            try shared.step(step, batch: batch, epoch: 0), try plain.step(step, batch: batch, epoch: 0)
          )
          #expect(a.loss == b.loss, "step \(step)")
        }
        #expect(try shared.evaluate(data) == plain.evaluate(data))
        #expect(try bits(shared) == bits(plain))
      }
      let split = try trainer(sharding, .fp32, again: true, passTokens: 25, on: world)
      let alone = try trainer(.none, .fp32, again: false, passTokens: 2048, on: SoloCommunicator())
      for step in 1...4 {
        let batch = (0..<5).map { (step * 3 + $0) % data.count }
        let (a, b) = (try split.step(step, batch: batch, epoch: 0), try alone.step(step, batch: batch, epoch: 0))
        #expect(abs(a.loss - b.loss) <= 1e-4 * b.loss && abs(a.gradientNorm - b.gradientNorm) <= 1e-4 * b.gradientNorm)
      }
    }

    @Test(arguments: StudentSharding.allCases, [1, 3, 13])
    func `an evaluation sees the weights of all, whatever ranks have to do`(sharding: StudentSharding, count: Int)
      throws
    {
      let data = try TinyTask.data(count, seed: 3)
      let shared = try trainer(Case(sharding: sharding), on: world)
      let reference = try trainer(Case(sharding: .optimizer), on: world)
      for step in 1...4 {
        _ = try (records(shared, step...step), records(reference, step...step))
        if step % 2 == 0 { #expect(try shared.evaluate(data) == reference.evaluate(data), "step \(step)") }
      }
    }

    @Test(arguments: StudentSharding.allCases)
    func `a gradient that is not finite is refused by all ranks, and nothing changes`(sharding: StudentSharding) throws
    {
      let trainer = try trainer(Case(sharding: sharding), on: world)
      _ = try records(trainer, 1...2)
      let before = try bits(trainer)
      // One element, of whoever keeps it.
      if world.isFirst || sharding != .parameters { trainer.flat.values.floats[0] = .nan }
      let error = #expect(throws: RetortError.self) { try records(trainer, 3...3) }
      #expect(error?.kind == .numerical && error?.isCollective == true)
      if world.isFirst || sharding != .parameters { trainer.flat.values.floats[0] = 0 }
      let after = try bits(trainer)
      #expect(zip(before, after).allSatisfy { zip($0, $1).filter { $0 != $1 }.count <= 1 })
    }

    @Test func `a checkpoint of any sharding and number of ranks serves any other`() throws {
      let root = try world.broadcast(text: Shared.temporaryDirectory("sharding"))
      defer {
        try? world.barrier()
        if world.isFirst { try? FileManager.default.removeItem(atPath: root) }
      }
      let whole = try trainer(Case(), on: world)
      _ = try records(whole)
      let expected = try bits(whole)
      var state = TrainingState()
      state.step = 2
      for from in StudentSharding.allCases {
        let first = try trainer(Case(sharding: from), on: world)
        _ = try records(first, 1...2)
        let directory = "\(root)/\(from)"
        let store = CheckpointStore(directory, planDigest: "plan", keep: 1, on: world)
        try store.save(state, of: first)
        try store.saveBest(first, step: state.step)
        try store.finishSaving()
        // Saving has taken nothing from whoever goes on.
        _ = try records(first, 3...Self.steps)
        #expect(try bits(first) == expected, "\(from) goes on")
        for to in StudentSharding.allCases {
          let second = try trainer(Case(sharding: to), on: world)
          let again = CheckpointStore(directory, planDigest: "plan", keep: 1, on: world)
          #expect(try again.restore(into: second).state == state)
          _ = try records(second, 3...Self.steps)
          #expect(try bits(second) == expected, "from \(from) to \(to)")
        }
        let alone = SoloCommunicator()
        let single = try trainer(Case(sharding: from), on: alone)
        try world.barrier()
        let again = CheckpointStore(directory, planDigest: "plan", keep: 1, on: alone)
        #expect(try again.restore(into: single).state == state)
        for (a, b) in zip(try records(single, 3...Self.steps), try records(trainer(Case(), on: alone)).dropFirst(2)) {
          #expect(abs(a.loss - b.loss) <= 1e-4 * b.loss, "\(from) on one rank, step \(a.step)")
        }
      }
      // The same file, to the byte, whoever had the weights.
      let files = try StudentSharding.allCases.map {
        try readFile("\(root)/\($0)/checkpoints/step-2/model.safetensors")
      }
      #expect(files.allSatisfy { $0 == files[0] })
    }

    /// Reduce-scatter and all-gather of Ψ weights over N nodes of R ranks send half = 4Ψ/R·(N−1)/N bytes each; weights
    /// that are sharded travel between all ranks.
    @Test(arguments: StudentSharding.allCases, [(1, 1), (2, 1), (1, 2), (1, nil), (2, nil)])
    func `what a rank sends of gradients and weights is what the strategy says`(
      sharding: StudentSharding, split: (passes: Int, nodeRanks: Int?)
    ) throws {
      let passes = split.passes
      let trainer = try trainer(
        Case(sharding: sharding, accumulation: passes, batch: 8, nodeRanks: split.nodeRanks), on: world)
      let nodes = trainer.grid.lane.size
      for record in try records(trainer, 1...2) {
        let half = 4 * trainer.flat.count / world.size * (nodes - 1)
        let everywhere = 4 * trainer.flat.count / world.size * (world.size - 1)
        let (gradients, weights) = (record.sentBytes[.gradients] ?? 0, record.sentBytes[.weights] ?? 0)
        switch sharding {
        case .none: #expect(gradients == 2 * half && weights == 0)
        case .optimizer: #expect(gradients == half && weights == half)
        case .gradients: #expect(gradients == passes * half && weights == half)
        // Up and down through all blocks, of which the pass turns in the last one.
        case .parameters:
          #expect(gradients == passes * half)
          #expect(weights >= passes * everywhere && weights <= 2 * passes * everywhere)
        }
      }
    }

    /// With two nodes of one rank, or one node, sums have the same order.
    @Test(arguments: StudentSharding.allCases, [1, 2])
    func `nodes train the same as one node, up to the order of sums`(sharding: StudentSharding, nodeRanks: Int) throws {
      // Ranks on several real hosts share memory with those of their host only.
      let host = try world.splitByNode().size
      let node = host < nodeRanks ? host : host % nodeRanks == 0 ? nodeRanks : 1
      for precision in [Precision.fp32, .bf16] {
        let values = Case(sharding: sharding, precision: precision, nodeRanks: nodeRanks)
        let (several, one) = (
          try trainer(values, on: world), try trainer(Case(sharding: sharding, precision: precision), on: world)
        )
        #expect(several.grid.node.size == node)
        for (a, b) in zip(try records(several), try records(one)) {
          #expect(abs(a.loss - b.loss) <= 1e-4 * abs(b.loss), "step \(a.step)")
        }
        if nodeRanks == 1, host == world.size || host == 1 { #expect(try bits(several) == bits(one)) }
        let data = try TinyTask.data(13, seed: 3)
        #expect(try abs(several.evaluate(data).loss - one.evaluate(data).loss) < 1e-3)
      }
    }

    @Test(arguments: StudentSharding.allCases, [1, 2])
    func `weights that travel in bf16 give the same student in fewer bytes`(sharding: StudentSharding, nodeRanks: Int)
      throws
    {
      let plain = Case(sharding: sharding, precision: .bf16, nodeRanks: nodeRanks)
      var rounded = plain
      rounded.wires.weights = .bf16
      let (wide, narrow) = (try trainer(plain, on: world), try trainer(rounded, on: world))
      let (a, b) = (try records(wide), try records(narrow))
      #expect(a.map(\.loss) == b.map(\.loss) && a.map(\.gradientNorm) == b.map(\.gradientNorm))
      let data = try TinyTask.data(13, seed: 3)
      #expect(try wide.evaluate(data) == narrow.evaluate(data))
      #expect(try bits(wide) == bits(narrow))
      // After whole weights were read, training continues with the same ones.
      #expect(try records(wide).map(\.loss) == records(narrow).map(\.loss))
      let (sent, less) = (a[2].sentBytes[.weights] ?? 0, b[2].sentBytes[.weights] ?? 0)
      let travels = wide.grid.lane.size > 1 && (sharding == .optimizer || sharding == .gradients)
      #expect(travels ? less < sent : less == sent, "\(less) of \(sent) bytes")
    }

    @Test(arguments: StudentSharding.allCases, [Precision.fp32, .bf16])
    func `gradients that travel in bf16 train almost the same student`(
      sharding: StudentSharding, precision: Precision
    ) throws {
      let plain = Case(sharding: sharding, batch: 8, precision: precision, nodeRanks: 1)
      var rounded = plain
      rounded.wires.gradients = .bf16
      let (wide, narrow) = (try trainer(plain, on: world), try trainer(rounded, on: world))
      let (a, b) = (try records(wide), try records(narrow))
      for (a, b) in zip(a, b) {
        #expect(abs(a.loss - b.loss) <= 1e-2 * a.loss && abs(a.gradientNorm - b.gradientNorm) <= 1e-2 * a.gradientNorm)
      }
      #expect(world.size == 1 ? a.map(\.loss) == b.map(\.loss) : a.map(\.gradientNorm) != b.map(\.gradientNorm))
      let (sent, less) = (a[2].sentBytes[.gradients] ?? 0, b[2].sentBytes[.gradients] ?? 0)
      // The sums of `none` travel back in float32.
      #expect(less == (sharding == .none ? sent * 3 / 4 : sent / 2))
    }

    /// x + x/3 + … in bf16 alone would lose the same part in every step.
    @Test func `what rounding leaves out of a sum is in a later one`() throws {
      let values = randomTensor([world.size * 64], seed: 5 + UInt64(world.rank), scale: 1)
      let errors = Tensor.zeros(values.shape)
      var total = [Double](repeating: 0, count: 64)
      for step in 0..<64 {
        let part = values.copy()
        let sum = try RoundedLaneSum(part, errors: errors, tag: step, on: world)
        try sum.wait()
        for (index, value) in sum.sum().array.enumerated() { total[index] += Double(value) }
      }
      let whole = try world.allReduce(values.array, .sum)
      for (index, value) in total.enumerated() {
        let expected = 64 * Double(whole[world.rank * 64 + index])
        // At most one rounding is outstanding on each node, of 64.
        #expect(abs(value - expected) < 0.01 * Double(world.size), "\(value) for \(expected)")
      }
    }

    @Test(arguments: StudentSharding.allCases) func `what a rank keeps is what the formulas say`(
      sharding: StudentSharding
    ) throws {
      let model = try TinyTask.model(hidden: 64, layers: 3)
      let tables = model.lookups.reduce(0) { $0 + $1.parameter.count }
      let largest = model.blocks.map { $0.reduce(0) { $0 + $1.count } }.max()!
      let dense = model.parameterCount - tables
      let trainer = try trainer(Case(sharding: sharding), model: model, on: world)
      _ = try records(trainer, 1...2)
      let expected = StudentMemory(dense: dense, tables: tables, sharding: sharding, ranks: world.size)
      let memory = trainer.memory
      // Blocks are rounded up to 16 elements a rank and tables to a row.
      for (kept, formula) in [
        (memory.weights, expected.weights), (memory.gradients, expected.gradients), (memory.moments, expected.moments),
      ] { #expect(kept >= formula && Double(kept) <= 1.05 * Double(formula), "\(kept) bytes for \(formula)") }
      let n = world.size
      let psi = Double(dense)
      let zero: Double =
        switch sharding {
        case .none: 16 * psi
        case .optimizer: 8 * psi + 8 * psi / Double(n)
        case .gradients: 4 * psi + 12 * psi / Double(n)
        case .parameters: 16 * psi / Double(n)
        }
      let dense16 = StudentMemory(dense: dense, tables: 0, sharding: sharding, ranks: n).total
      #expect(abs(Double(dense16) - zero) <= 32)
      // Two blocks of weights (none alone, where nothing is gathered), three buckets of gradients.
      let limit =
        switch sharding {
        case .none, .optimizer: 0
        case .gradients: 3 * 4 * (64 * 64 * 3 + 64 * 16)
        case .parameters: (n > 1 ? 5 : 3) * 4 * (largest + 16 * n)
        }
      #expect(trainer.peakTransientBytes <= limit, "\(trainer.peakTransientBytes) bytes of \(limit)")
    }
  }
}
