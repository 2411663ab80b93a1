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
  /// A teacher that lives on several ranks must teach as one that each rank has for itself.
  @Suite(.timeLimit(.minutes(3))) struct PlacedTeacherTests {
    static let steps = 20

    /// A teacher whose heads, layers, words and inner units do not all divide by the number of ranks.
    static func configuration(_ family: String) throws -> ModelConfiguration {
      var keys: [String: JSON] = [
        "model_type": .string(family), "hidden_size": 32, "num_hidden_layers": 5, "num_attention_heads": 4,
        "intermediate_size": 70, "initializer_range": 0.3,
      ]
      switch family {
      case "llama", "qwen2":
        keys.merge([
          "vocab_size": 20, "num_key_value_heads": 2, "max_position_embeddings": 64,
          "tie_word_embeddings": .bool(family == "qwen2"),
        ]) { _, new in new }
      default:
        keys.merge(["vocab_size": 41, "max_position_embeddings": 18, "num_labels": 3]) { _, new in new }
        if family == "bert_hash" { keys["projections"] = 5 }
      }
      return try ModelConfiguration(.object(keys), source: "placed teacher")
    }

    static func isLanguageModel(_ folder: String) throws -> Bool {
      try ModelLoader.build(ModelConfiguration(directory: folder)) is any LanguageModel
    }

    static func data(_ folder: String) throws -> any ExampleSource {
      try isLanguageModel(folder) ? TinyLanguageModel.documents(60, rowLength: 48) : TinyTask.data(37)
    }

    static func classes(_ folder: String) throws -> Int {
      try ModelLoader.build(ModelConfiguration(directory: folder)).classCount
    }

    /// The directory of a teacher that all ranks see; removed behind `body`.
    func withDirectory(_ family: String = "bert", _ keys: [String: JSON] = [:], _ body: (String) throws -> Void) throws
    {
      let folder = try world.broadcast(text: Shared.temporaryDirectory("placed"))
      defer {
        try? world.barrier()
        if world.isFirst { try? FileManager.default.removeItem(atPath: folder) }
      }
      try world.agree {
        guard world.isFirst else { return }
        let configuration = try Self.configuration(family).setting(keys)
        let model = try ModelLoader.load(configuration, from: .random, seed: 9).model
        try ModelWriter.writeWeights(model, to: folder + "/model.safetensors")
        try writeFileAtomically(folder + "/config.json", JSON.object(configuration.json).text())
      }
      try body(folder)
    }

    func part(_ folder: String, _ precision: Precision, _ part: ModelPart) throws -> FrozenModel {
      let frozen = try FrozenModel(directory: folder, labels: nil, precision: precision, part: part)
      frozen.fill(Storage(untouchedZeros: frozen.byteCount))
      return frozen
    }

    func resident(_ folder: String, _ precision: Precision = .fp32) throws -> ResidentTeacher {
      let data = try Self.data(folder)
      return ResidentTeacher(
        name: "teacher", model: try part(folder, precision, .whole).model, train: data, validation: data,
        precision: precision)
    }

    func sharded(
      _ folder: String, _ sharding: TeacherSharding, _ payload: SignalPayload, groups: Int = 1,
      _ precision: Precision = .fp32
    ) throws -> ShardedTeacher {
      let data = try Self.data(folder)
      let size = world.size / groups
      let group = try world.split(color: world.rank / size, key: world.rank)
      let whole = try part(folder, precision, .whole).model as! any StagedModel
      let own = try part(folder, precision, sharding.part(rank: group.rank, of: group.size, of: whole))
      return try ShardedTeacher(
        name: "teacher", whole: whole, part: own.model as! any StagedModel, head: TeacherHead(whole),
        sharding: sharding, payload: payload, precision: precision, train: data, validation: data, on: group)
    }

    /// Loss, distillation and gradient norm of some steps.
    ///
    /// - Parameter shared: the classes that teacher and student share; nil: all.
    func train(
      _ teacher: any Teacher, _ folder: String, on communicator: any Communicator = world, shared: Int? = nil
    ) throws -> [Double] {
      let data = try Self.data(folder)
      let isLanguageModel = try Self.isLanguageModel(folder)
      let batch: BatchSize = isLanguageModel ? 3 : 7
      var objective = DistillationObjective(crossEntropyWeight: 0.3, distillationWeight: 0.7, temperature: 2)
      objective.sharedClasses = shared
      let configuration = TrainingConfiguration(
        seed: 3, totalSteps: Self.steps, batchSize: batch, accumulation: 2, passTokens: isLanguageModel ? 60 : 20,
        objective: objective,
        schedule: Schedule(.linear, peak: 1e-2, warmup: 2, total: Self.steps), bucketBytes: 4096)
      let sampler = Sampler(lengths: data.lengths, batchSize: batch, shuffle: true, groupByLength: true, seed: 3)
      let batches = (0..<5).flatMap { sampler.batches(epoch: $0) }
      let student: any Model =
        isLanguageModel
        ? try TinyLanguageModel.model(hidden: 8)
        : try ModelLoader.load(
          TinyTask.configuration(hidden: 8, layers: 2).setting(["num_labels": 3]), from: .random, seed: 5
        ).model
      let trainer = try Trainer(configuration, student: student, teacher: teacher, train: data, on: communicator)
      return try (0..<Self.steps).flatMap { step -> [Double] in
        let next = step + 1 < Self.steps ? batches[step + 1] : nil
        let record = try trainer.step(step + 1, batch: batches[step], next: next, epoch: 0)
        return [record.loss, record.distillation, record.gradientNorm]
      }
    }

    func expectAlike(_ curve: [Double], _ reference: [Double], _ what: String) {
      #expect(curve.count == reference.count)
      for (index, (a, b)) in zip(curve, reference).enumerated() {
        #expect(abs(a - b) <= 1e-4 * abs(b), "\(what), figure \(index): \(a) and \(b)")
      }
    }

    @Test(arguments: [TeacherSharding.tensor, .pipeline], ["bert", "bert_hash", "llama", "qwen2"])
    func
      `a sharded teacher gives the resident teacher's losses, by logits, hidden states and all of the largest logits`(
        sharding: TeacherSharding, family: String
      ) throws
    {
      try withDirectory(family) { folder in
        let reference = try train(resident(folder), folder)
        for payload in [SignalPayload.logits, .hidden, .topK(try Self.classes(folder), temperature: 2)] {
          let curve = try train(sharded(folder, sharding, payload), folder)
          expectAlike(curve, reference, "\(sharding) \(payload.name)")
        }
        if world.size % 2 == 0 {
          let curve = try train(sharded(folder, sharding, .logits, groups: 2), folder)
          expectAlike(curve, reference, "two groups, \(sharding)")
        }
      }
    }

    @Test(arguments: [TeacherSharding.tensor, .pipeline])
    func `the largest logits train, to the same bits each time`(sharding: TeacherSharding) throws {
      try withDirectory("llama") { folder in
        let first = try train(sharded(folder, sharding, .topK(4, temperature: 2)), folder)
        #expect(try train(sharded(folder, sharding, .topK(4, temperature: 2)), folder) == first)
        let reference = try train(resident(folder), folder)
        #expect(zip(first, reference).allSatisfy { $0.isFinite && $0 >= 0 && abs($0 - $1) < 0.5 * abs($1) })
        #expect(first != reference)
      }
    }

    @Test(arguments: ["bert", "llama"]) func `parts have little more than their share of the weights`(
      family: String
    ) throws {
      let configuration = try Self.configuration(family).setting([
        "hidden_size": 128, "num_hidden_layers": 24, "intermediate_size": 512, "num_attention_heads": 8,
        "vocab_size": 4000, "num_key_value_heads": 8,
      ])
      let whole = try ModelLoader.build(configuration)
      for sharding in TeacherSharding.allCases {
        let counts = try (0..<world.size).map {
          try ModelLoader.build(configuration, part: sharding.part(rank: $0, of: world.size, of: whole)).parameterCount
        }
        let share = Double(whole.parameterCount) / Double(world.size)
        #expect(Double(counts.max() ?? 0) <= 1.1 * share, "\(sharding): \(counts) of \(whole.parameterCount)")
        #expect(counts.reduce(0, +) >= whole.parameterCount)
      }
    }

    /// The curve of a run in which the last ranks teach; of these, nothing.
    func trainDedicated(
      _ folder: String, _ sharding: TeacherSharding, _ payload: SignalPayload, teachers: Int, shared: Int? = nil
    ) throws -> (curve: [Double], traffic: TeacherTraffic)? {
      let data = try Self.data(folder)
      let roles = TeachingRoles(ranks: world.size, teachers: teachers)
      let teaches = roles.teaches(world.rank)
      let own = try world.split(color: teaches ? 1 : 0, key: world.rank)
      if teaches {
        let whole = try ModelLoader.build(ModelConfiguration(directory: folder))
        let part = try part(folder, .fp32, sharding.part(rank: own.rank, of: own.size, of: whole))
        let service = try TeacherService(
          part.model as! any StagedModel, sharding, payload: payload, precision: .fp32, train: data, validation: data,
          roles: roles, link: world, on: own)
        try service.serve()
        return nil
      }
      let whole = try part(folder, .fp32, .whole).model as! any StagedModel
      let teacher = try DedicatedTeacher(
        name: "teacher", whole: whole, head: TeacherHead(whole), payload: payload, precision: .fp32, train: data,
        validation: data, roles: roles, on: world)
      let curve = try train(teacher, folder, on: own, shared: shared)
      // The last announcement is of a batch that nobody asks for.
      try teacher.announce([[0, 1], [2]], in: .validation)
      return (curve, try teacher.end())
    }

    @Test(arguments: [TeacherSharding.tensor, .pipeline], ["bert", "llama"])
    func `a teacher on ranks of its own gives the resident teacher's losses`(
      sharding: TeacherSharding, family: String
    ) throws {
      try withDirectory(family) { folder in
        let reference = try train(resident(folder), folder)
        for teachers in 1..<max(1, world.size) {
          for payload in [SignalPayload.logits, .hidden] {
            guard let run = try trainDedicated(folder, sharding, payload, teachers: teachers) else { continue }
            expectAlike(run.curve, reference, "\(teachers) teachers, \(sharding) \(payload.name)")
            #expect(run.traffic.sentBytes > 0)
          }
        }
      }
    }

    @Test(
      .enabled(if: world.size == 1, "it is about one rank"),
      arguments: [("bert", Precision.bf16), ("llama", .fp32), ("qwen2", .bf16)])
    func `a streamed teacher has two layers and the head in memory, and says what a resident one says`(
      family: String, precision: Precision
    ) throws {
      try withDirectory(family) { folder in
        // Layers that are large beside the pieces of up to 2 MiB in which the system maps files.
        let configuration = try ModelConfiguration(directory: folder).setting([
          "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 8, "vocab_size": 2000,
        ])
        let path = joinPath(folder, "large")
        try makeDirectory(path)
        let model = try ModelLoader.load(configuration, from: .random, seed: 9).model
        try ModelWriter.writeWeights(model, to: path + "/model.safetensors")
        try writeFileAtomically(path + "/config.json", JSON.object(configuration.json).text())
        let frozen = try FrozenModel(directory: path, labels: nil, precision: precision)
        #expect(try KeptWeights(root: path, key: Digest.of("streamed"), limit: 1 << 30).load(frozen) == nil)
        let placed = try #require(frozen.model as? any StagedModel)
        let watch = ResidencyWatch(LayerStream(placed), of: placed)
        let data = try Self.data(folder)
        let teacher = try ShardedTeacher(
          name: "teacher", whole: ModelLoader.build(configuration), part: placed, head: nil, sharding: .tensor,
          payload: .logits, precision: precision, train: data, validation: data, residency: watch,
          on: SoloCommunicator())
        let plain = ResidentTeacher(
          name: "teacher", model: model, train: data, validation: data, precision: precision)
        for samples in [[0, 1, 2], [3], [4, 5]] {
          let (a, b) = (
            try teacher.logits(for: samples, in: .train).materialized,
            try plain.logits(for: samples, in: .train).materialized.converted(to: .float32)
          )
          let scale = b.array.map(abs).max() ?? 0
          #expect(zip(a.array, b.array).allSatisfy { abs($0 - $1) <= (precision == .bf16 ? 2e-2 : 1e-4) * scale })
        }
        #expect(watch.most > 0)
        // A row of a table, the begin of a layer and that of the head bring such a piece each, neighbours included.
        let allowed = LayerStream.largestBytes(of: placed) + 3 * (2 << 20)
        #expect(watch.most <= allowed && allowed < frozen.byteCount, "\(watch.most) of \(frozen.byteCount)")
      }
    }

    /// Measures what of a model's mapping is in memory whenever a pass enters or leaves a block.
    final class ResidencyWatch: TapeObserver {
      let releasesWeights = true
      private let stream: LayerStream
      private let address: UnsafeRawPointer
      private(set) var most = 0
      private var samples = 0

      init(_ stream: LayerStream, of model: any Model) {
        self.stream = stream
        address = UnsafeRawPointer(model.parameters[0].value.storage.address)
      }

      func enter(_ block: Int, _ direction: PassDirection) {
        stream.enter(block, direction)
        measure()
      }

      func leave(_ block: Int, _ direction: PassDirection) {
        measure()
        stream.leave(block, direction)
      }

      private func measure() {
        samples += 1
        // The first pass tells.
        if samples > 20 { return }
        let figures = try? SharedWeightsTests().mapping(of: address)
        most = max(most, figures?["Rss"] ?? 0)
      }
    }
  }
}
