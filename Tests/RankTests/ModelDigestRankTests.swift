import Collectives
import Foundation
import Models
import Platform
import Safetensors
import TestSupport
import Testing

@testable import Chains

extension RankTests {
  /// Ranks that share out the reading of a model's files must know it by the same digest as one that reads them all.
  @Suite(.timeLimit(.minutes(1))) struct ModelDigestTests {
    /// A directory with a model in three shards, for all ranks or for each one; removed behind `body`.
    func withModel(shared: Bool, _ body: (String) throws -> Void) throws {
      let own = try Shared.temporaryDirectory("digest")
      let folder = shared ? try world.broadcast(text: own) : own
      defer {
        try? world.barrier()
        try? FileManager.default.removeItem(atPath: own)
      }
      try world.agree {
        if shared, !world.isFirst { return }
        let configuration = try PlacedTeacherTests.configuration("llama")
        let model = try ModelLoader.build(configuration)
        var map: [String: JSON] = [:]
        for (index, binding) in model.weightTable.enumerated() {
          map[binding.name] = .string("shard-\(index % 3).safetensors")
        }
        for shard in 0..<3 {
          let own = model.weightTable.enumerated().filter { $0.offset % 3 == shard }.map(\.element)
          var writer = try SafetensorsWriter(
            folder + "/shard-\(shard).safetensors",
            tensors: own.map { TensorDeclaration($0.name, .float32, $0.shape.array) })
          for binding in own {
            try writer.append(binding.name, floats: [Float](repeating: Float(shard), count: binding.shape.count))
          }
          try writer.finish()
        }
        let index: JSON = ["weight_map": .object(map)]
        try writeFileAtomically(folder + "/model.safetensors.index.json", index.text())
        try writeFileAtomically(folder + "/config.json", JSON.object(configuration.json).text())
      }
      try body(folder)
    }

    /// Another last byte: the header stays right.
    func flip(_ path: String) throws {
      var data = try readFile(path)
      data[data.count - 1] ^= 1
      try writeFileAtomically(path, data)
    }

    func alone(_ folder: String) throws -> String {
      ModelDigest.of(try ModelDigest.files(of: folder).map(Digest.ofFile))
    }

    @Test(arguments: [true, false])
    func `files in one place, and copies of them, have one digest`(shared: Bool) throws {
      try withModel(shared: shared) { folder in
        let (together, alone) = (try ModelDigest.of(directory: folder, on: world), try alone(folder))
        #expect(together == alone)
      }
    }

    @Test(.enabled(if: world.size > 1)) func `a copy that differs is refused on all ranks, and so is one that is torn`()
      throws
    {
      try withModel(shared: false) { folder in
        if world.rank == world.size - 1 { try flip(folder + "/shard-1.safetensors") }
        var error = #expect(throws: RetortError.self) { try ModelDigest.of(directory: folder, on: world) }
        #expect(error?.kind == .preflight && error!.isCollective && error!.what.contains("differs between ranks"))
        if world.rank == world.size - 1 { try FileManager.default.removeItem(atPath: folder + "/config.json") }
        error = #expect(throws: RetortError.self) { try ModelDigest.of(directory: folder, on: world) }
        #expect(error?.kind == .input && error!.isCollective && error!.description.contains("config.json"))
      }
    }
  }
}
