import Collectives
import Foundation
import Models
import Platform
import Teachers
import Tensors
import TestSupport
import Testing

extension RankTests {
  /// One copy of a teacher's weights for all ranks of a node.
  @Suite(.timeLimit(.minutes(2))) struct SharedWeightsTests {
    func frozen(_ precision: Precision, seed: UInt64 = 3) throws -> FrozenModel {
      try FrozenModel(TinyTask.configuration(hidden: 128, layers: 4), from: .random, seed: seed, precision: precision)
    }

    func logits(_ model: any Model, _ precision: Precision) throws -> [Float] {
      model.logits(try TinyTask.data(7).batch(Array(0..<7)), precision: precision, independentRows: true).array
    }

    /// The figures of the mapping that holds an address, in bytes by their names.
    func mapping(of address: UnsafeRawPointer) throws -> [String: Int] {
      let file = fopen("/proc/self/smaps", "r")
      defer { if let file { fclose(file) } }
      var (line, figures, isInside) = ([CChar](repeating: 0, count: 4096), [String: Int](), false)
      while let file, fgets(&line, 4096, file) != nil {
        let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        let words = text.split(whereSeparator: \.isWhitespace)
        let ends = words[0].split(separator: "-").map { UInt($0, radix: 16) }
        if ends.count == 2, let low = ends[0], let high = ends[1] {
          isInside = (low..<high).contains(UInt(bitPattern: address))
        } else if isInside, words.count == 3, let value = Int(words[1]) {
          figures[String(words[0].dropLast()), default: 0] += value * 1024
        }
      }
      return figures
    }

    /// Holds a model whose weights are shared by all ranks, all on one node, against one with weights of its own.
    func expectShared(_ frozen: FrozenModel, _ precision: Precision) throws {
      let plain = try ModelLoader.load(
        TinyTask.configuration(hidden: 128, layers: 4), from: .random, seed: 3
      ).model
      #expect(try logits(frozen.model, precision) == logits(plain, precision))
      // Every page is touched on every rank, and counted before any rank lets go.
      let words = frozen.model.parameters.map { $0.value.storage.address }
      let block = UnsafeRawBufferPointer(start: words[0], count: frozen.byteCount)
      var sum = 0
      for place in stride(from: 0, to: block.count, by: 1024) { sum += Int(block[place]) }
      #expect(sum > 0)
      try world.barrier()
      let figures = try mapping(of: words[0])
      let total = try world.allReduce(figures["Pss"] ?? 0, .sum)
      let own = (figures["Private_Dirty"] ?? 0) + (figures["Private_Clean"] ?? 0)
      try world.barrier()
      let node = try world.splitByNode().size
      if node > 1 {
        // A second rank adds less than a tenth of the block, its header and the pages' rounding included.
        #expect(own <= frozen.byteCount / 10, "\(own) of \(frozen.byteCount) bytes are this rank's alone")
        if node == world.size {
          #expect(total <= frozen.byteCount * 11 / 10 + 8192, "\(total) bytes for a block of \(frozen.byteCount)")
        }
      }
    }

    @Test(arguments: [Precision.fp32, .bf16]) func `memory without a name is one copy for all ranks`(
      precision: Precision
    ) throws {
      let model = try frozen(precision)
      #expect(try NodeWeights.load(model, on: world) == nil)
      try expectShared(model, precision)
    }

    @Test(arguments: [Precision.fp32, .bf16]) func `a kept file is one copy for all ranks, whoever comes first`(
      precision: Precision
    ) throws {
      let folder = try world.broadcast(text: Shared.temporaryDirectory("weights"))
      let key = Digest.of("weights of this test \(precision)")
      let model = try frozen(precision)
      // No rank waits for another one between these two lines.
      let remark = try KeptWeights(root: folder, key: key, limit: 1 << 30).load(model)
      #expect(remark == nil)
      try expectShared(model, precision)
      try world.barrier()
      if world.isFirst { try FileManager.default.removeItem(atPath: folder) }
    }

    @Test func `a figure of the system for this process is there`() throws {
      let bytes = try #require(ProcessMemory.proportionalBytes)
      #expect(bytes > 1 << 20 && bytes < 1 << 36)
    }
  }
}
