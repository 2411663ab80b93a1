import Dispatch
import Foundation
import Models
import Platform
import Synchronization
import Tensors
import TestSupport
import Testing

@testable import Teachers

/// Weights of teachers in files that ranks and runs share.
@Suite(.timeLimit(.minutes(2))) struct KeptWeightsTests {
  static let key = String(repeating: "0123456789abcdef", count: 4)
  static let limit = 1 << 30

  func frozen(_ precision: Precision = .bf16, seed: UInt64 = 7) throws -> FrozenModel {
    try FrozenModel(TinyTask.configuration(hidden: 32, layers: 2), from: .random, seed: seed, precision: precision)
  }

  func kept(_ folder: StoreFolder, key: String = key, limit: Int = limit) throws -> KeptWeights {
    try KeptWeights(root: folder.path, key: key, limit: limit)
  }

  func file(_ folder: StoreFolder) -> String { joinPath(folder.path, "\(Self.key)/weights") }

  /// Logits of the random model of a seed, computed from memory of its own.
  func logits(_ model: any Model, _ precision: Precision = .bf16) throws -> [Float] {
    model.logits(try TinyTask.data(5).batch(Array(0..<5)), precision: precision, independentRows: true).array
  }

  func plain(_ precision: Precision = .bf16) throws -> [Float] {
    let configuration = try TinyTask.configuration(hidden: 32, layers: 2)
    return try logits(ModelLoader.load(configuration, from: .random, seed: 7).model, precision)
  }

  @Test(arguments: [Precision.fp32, .bf16]) func `the second one finds what the first one converted`(
    precision: Precision
  ) throws {
    let folder = try StoreFolder()
    let first = try frozen(precision)
    #expect(try kept(folder).load(first) == nil)
    #expect(try logits(first.model, precision) == plain(precision))
    // Another seed would give other weights: these come from the file.
    let second = try frozen(precision, seed: 8)
    #expect(try kept(folder).load(second) == nil)
    #expect(try logits(second.model, precision) == plain(precision))
    #expect(try listDirectory(joinPath(folder.path, Self.key)) == ["converting", "lock", "weights"])
  }

  /// Damages to a file, by name.
  static let damages = [
    "cut", "emptied", "longer", "a bit of the block", "magic", "size", "sign of the size", "key", "checksum",
  ]

  @Test(arguments: damages) func `a file that is not whole or not ours is made anew`(damage: String) throws {
    let folder = try StoreFolder()
    let first = try frozen()
    #expect(try kept(folder).load(first) == nil)
    var bytes = try readFile(file(folder))
    switch damage {
    case "cut": bytes.removeLast(64)
    case "emptied": bytes = Data()
    case "longer": bytes.append(contentsOf: [1, 2, 3])
    case "a bit of the block": bytes[bytes.count - 100] ^= 4
    case "magic": bytes[0] ^= 1
    case "size": bytes[8] ^= 1
    case "sign of the size": bytes[15] ^= 0x80
    case "checksum": bytes[16] ^= 1
    default: bytes[30] ^= 1
    }
    try writeFileAtomically(file(folder), bytes)
    let second = try frozen()
    #expect(WeightFile.map(file(folder), key: Self.key, bytes: second.byteCount) == nil)
    #expect(try kept(folder).load(second) == nil)
    #expect(try logits(second.model) == plain())
    #expect(WeightFile.map(file(folder), key: Self.key, bytes: second.byteCount) != nil)
  }

  @Test func `many that come at once convert the weights once, and all read them`() throws {
    let folder = try StoreFolder()
    let want = try plain()
    let inodes = Mutex<Set<UInt64>>([])
    let failures = Mutex(0)
    DispatchQueue.concurrentPerform(iterations: 8) { _ in
      do {
        let model = try frozen()
        let remark = try kept(folder).load(model)
        var info = stat()
        stat(file(folder), &info)
        inodes.withLock { _ = $0.insert(UInt64(info.st_ino)) }
        if try remark != nil || logits(model.model) != want { failures.withLock { $0 += 1 } }
      } catch { failures.withLock { $0 += 1 } }
    }
    #expect(failures.withLock { $0 } == 0)
    #expect(inodes.withLock { $0.count } == 1)
  }

  @Test func `without room the weights come all the same, and the reason is said`() throws {
    let folder = try StoreFolder()
    let model = try frozen()
    let remark = try kept(folder, limit: 4096).load(model)
    #expect(remark?.contains("teacher.cache_limit is 4,096") == true)
    #expect(try logits(model.model) == plain())
    #expect(!fileExists(file(folder)))
  }

  @Test func `a file that cannot be made leaves nothing behind`() throws {
    let folder = try StoreFolder()
    // A folder has the file's name, so the renaming fails after the whole work.
    try makeDirectory(joinPath(file(folder), "inside"))
    let model = try frozen()
    #expect(try kept(folder).load(model)?.contains("cannot rename") == true)
    #expect(try logits(model.model) == plain())
    #expect(try listDirectory(joinPath(folder.path, Self.key)) == ["converting", "lock", "weights"])
    #expect(throws: RetortError.self) { try KeptWeights(root: "/dev/null", key: Self.key, limit: Self.limit) }
  }

  @Test func `weights stand under the limit of all keys`() throws {
    let folder = try StoreFolder()
    let bytes = try frozen().byteCount + WeightFile.headerBytes
    #expect(try kept(folder).load(frozen()) == nil)
    let other = String(repeating: "f", count: 64)
    #expect(try kept(folder, key: other, limit: bytes + 100).load(frozen()) == nil)
    #expect(try listDirectory(folder.path) == [other])
  }

  @Test func `the key changes with the teacher, its classes and its form`() {
    let key = KeptWeights.key(teacher: "a", labels: ["x", "y"], form: "f")
    let others = [
      KeptWeights.key(teacher: "b", labels: ["x", "y"], form: "f"),
      KeptWeights.key(teacher: "a", labels: ["y", "x"], form: "f"),
      KeptWeights.key(teacher: "a", labels: ["x", "y"], form: "g"),
    ]
    #expect(key.utf8.count == 64 && Set(others + [key]).count == 4)
    #expect(key == KeptWeights.key(teacher: "a", labels: ["x", "y"], form: "f"))
  }

  @Test func `a teacher brings its weights when it is first asked, and not before`() throws {
    let data = try TinyTask.data(5)
    var loads = 0
    let teacher = ResidentTeacher(
      name: "lazy", frozen: try frozen(), train: data, validation: data, precision: .bf16
    ) { model in
      loads += 1
      model.fill(Storage(untouchedZeros: model.byteCount))
      return "said once"
    }
    #expect(teacher.classCount == 2 && teacher.parameterCount > 10_000 && loads == 0)
    #expect(teacher.takeRemark() == nil)
    for _ in 0..<2 { #expect(try teacher.logits(for: Array(0..<5), in: .train).materialized.array == plain()) }
    #expect(loads == 1 && teacher.takeRemark() == "said once" && teacher.takeRemark() == nil)
  }
}
