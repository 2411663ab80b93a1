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
    static let count = 37
    static let steps = 20

    /// A BERT whose heads, layers, words and inner units do not all divide by the number of ranks.
    static func configuration(_ family: String = "bert", classes: Int = 3) throws -> ModelConfiguration {
      var keys: [String: JSON] = [
        "model_type": .string(family), "vocab_size": 41, "hidden_size": 32, "num_hidden_layers": 5,
        "num_attention_heads": 4, "intermediate_size": 70, "max_position_embeddings": 18, "initializer_range": 0.3,
        "num_labels": .int(classes), "type_vocab_size": 2,
      ]
      if family == "bert_hash" { keys["projections"] = 5 }
      return try ModelConfiguration(.object(keys), source: "placed teacher")
    }

    /// The directory of a teacher that all ranks see; removed behind `body`.
    func withDirectory(_ family: String = "bert", _ body: (String) throws -> Void) throws {
      let folder = try world.broadcast(text: Shared.temporaryDirectory("placed"))
      defer {
        try? world.barrier()
        if world.isFirst { try? FileManager.default.removeItem(atPath: folder) }
      }
      try world.agree {
        guard world.isFirst else { return }
        let configuration = try Self.configuration(family)
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

    func data() throws -> TokenizedDataset { try TinyTask.data(Self.count) }

    func resident(_ folder: String, _ precision: Precision = .fp32) throws -> ResidentTeacher {
      let data = try data()
      return ResidentTeacher(
        name: "teacher", model: try part(folder, precision, .whole).model, train: data, validation: data,
        precision: precision)
    }

    func sharded(
      _ folder: String, _ sharding: TeacherSharding, _ payload: SignalPayload, groups: Int = 1,
      _ precision: Precision = .fp32
    ) throws -> ShardedTeacher {
      let data = try data()
      let size = world.size / groups
      let group = try world.split(color: world.rank / size, key: world.rank)
      let whole = try part(folder, precision, .whole).model as! any StagedModel
      let own = try part(folder, precision, sharding.part(rank: group.rank, of: group.size))
      return try ShardedTeacher(
        name: "teacher", whole: whole, part: own.model as! any StagedModel, head: TeacherHead(whole),
        sharding: sharding, payload: payload, precision: precision, train: data, validation: data, on: group)
    }

    /// Loss, distillation and gradient norm of some steps.
    func train(_ teacher: any Teacher, accumulation: Int = 2, on communicator: any Communicator = world) throws
      -> [Double]
    {
      let data = try data()
      let configuration = TrainingConfiguration(
        seed: 3, totalSteps: Self.steps, batchSize: .examples(7), accumulation: accumulation, passTokens: 20,
        objective: DistillationObjective(crossEntropyWeight: 0.3, distillationWeight: 0.7, temperature: 2),
        schedule: Schedule(.linear, peak: 1e-2, warmup: 2, total: Self.steps), bucketBytes: 4096)
      let sampler = Sampler(
        lengths: data.lengths, batchSize: .examples(7), shuffle: true, groupByLength: true, seed: 3)
      let batches = (0..<5).flatMap { sampler.batches(epoch: $0) }
      let student = try ModelLoader.load(
        TinyTask.configuration(hidden: 8, layers: 2).setting(["num_labels": 3]), from: .random, seed: 5
      ).model
      let trainer = Trainer(configuration, student: student, teacher: teacher, train: data, on: communicator)
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

    @Test(arguments: [TeacherSharding.tensor, .pipeline], ["bert", "bert_hash"])
    func `a sharded teacher gives the resident teacher's losses, by logits and by hidden states`(
      sharding: TeacherSharding, family: String
    ) throws {
      try withDirectory(family) { folder in
        let reference = try train(resident(folder))
        for payload in [SignalPayload.logits, .hidden] {
          let curve = try train(sharded(folder, sharding, payload))
          expectAlike(curve, reference, "\(sharding) \(payload.name)")
        }
        if world.size % 2 == 0 {
          expectAlike(try train(sharded(folder, sharding, .logits, groups: 2)), reference, "two groups, \(sharding)")
        }
      }
    }

    /// The curve of a run in which the last ranks teach; of these, nothing.
    func trainDedicated(_ folder: String, _ sharding: TeacherSharding, _ payload: SignalPayload, teachers: Int) throws
      -> (curve: [Double], traffic: TeacherTraffic)?
    {
      let data = try data()
      let roles = TeachingRoles(ranks: world.size, teachers: teachers)
      let teaches = roles.teaches(world.rank)
      let own = try world.split(color: teaches ? 1 : 0, key: world.rank)
      if teaches {
        let part = try part(folder, .fp32, sharding.part(rank: own.rank, of: own.size))
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
      let curve = try train(teacher, on: own)
      // The last announcement is of a batch that nobody asks for.
      try teacher.announce([[0, 1], [2]], in: .validation)
      return (curve, try teacher.end())
    }

    @Test(arguments: [TeacherSharding.tensor, .pipeline])
    func `a teacher on ranks of its own gives the resident teacher's losses`(sharding: TeacherSharding) throws {
      try withDirectory { folder in
        let reference = try train(resident(folder))
        for teachers in 1..<max(1, world.size) {
          for payload in [SignalPayload.logits, .hidden] {
            guard let run = try trainDedicated(folder, sharding, payload, teachers: teachers) else { continue }
            expectAlike(run.curve, reference, "\(teachers) teachers, \(sharding) \(payload.name)")
            #expect(run.traffic.sentBytes > 0)
          }
        }
      }
    }
  }
}
