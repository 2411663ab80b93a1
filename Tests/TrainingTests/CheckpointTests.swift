import Collectives
import Datasets
import Foundation
import Objectives
import Optimizers
import Platform
import TestSupport
import Testing

@testable import Training

/// A checkpoint is whole or passed over: a damaged one never changes what a run comes to.
@Suite(.timeLimit(.minutes(2))) struct CheckpointTests {
  private final class Folder {
    let path: String
    init() throws { path = try Shared.temporaryDirectory("checkpoint") }
    deinit { try? FileManager.default.removeItem(atPath: path) }
    var checkpoints: String { path + "/checkpoints" }
  }

  private func trainer() throws -> Trainer {
    try Trainer(
      TrainingConfiguration(
        seed: 7, totalSteps: 8, batchSize: 4,
        objective: DistillationObjective(crossEntropyWeight: 1, distillationWeight: 0, temperature: 1),
        schedule: Schedule(.constant, peak: 1e-2, warmup: 0, total: 8), precision: .fp32),
      student: try TinyTask.model(hidden: 8, layers: 1), teacher: nil, train: try TinyTask.data(16),
      on: SoloCommunicator())
  }

  private func take(_ step: Int, _ trainer: Trainer) throws {
    _ = try trainer.step(step, batch: (0..<4).map { (step * 4 + $0) % 16 }, epoch: 0)
  }

  private func state(_ step: Int, best: Int? = nil) -> TrainingState {
    var state = TrainingState()
    state.step = step
    state.best = best.map {
      EvaluationRecord(
        step: $0, epoch: 1, metric: .accuracy,
        result: EvaluationResult(confusion: [3, 1, 0, 4], classCount: 2, loss: 0.5), isBest: true, seconds: 0)
    }
    return state
  }

  private func store(_ folder: Folder, plan: String = "plan a", keep: Int = 5, fence: (any WriteFence)? = nil)
    -> CheckpointStore
  {
    CheckpointStore(folder.path, planDigest: plan, keep: keep, fence: fence, on: SoloCommunicator())
  }

  /// All weights and moments of a trainer, as bits.
  private func bits(_ trainer: Trainer) throws -> [UInt32] {
    try trainer.settle()
    let weights = trainer.student.weightTable.flatMap { $0.tensor.array.map(\.bitPattern) }
    let moments = [trainer.optimizer.firstMoments, trainer.optimizer.secondMoments].flatMap(\.array)
    return weights + moments.map(\.bitPattern)
  }

  /// Saves after steps 2 (the best) and 4; gives the bits after 0, 2 and 4 steps.
  private func saved(_ folder: Folder, plan: String = "plan a") throws -> [Int: [UInt32]] {
    let (trainer, store) = (try trainer(), store(folder, plan: plan))
    var bits = [0: try bits(trainer)]
    for step in 1...4 {
      try take(step, trainer)
      guard step % 2 == 0 else { continue }
      if step == 2 { try store.saveBest(trainer, step: 2) }
      try store.save(state(step, best: 2), of: trainer)
      bits[step] = try self.bits(trainer)
    }
    try store.finishSaving()
    return bits
  }

  @Test func `the newest checkpoint is restored with its best student`() throws {
    let folder = try Folder()
    let bits = try saved(folder)
    let (trainer, store) = (try trainer(), store(folder))
    #expect(try store.restore(into: trainer).state == state(4, best: 2))
    #expect(try self.bits(trainer) == bits[4])
    #expect(store.notes.isEmpty)
    #expect(fileExists(try store.verifiedBest(after: 2)))
    #expect(throws: RetortError.self) { try store.verifiedBest(after: 4) }
  }

  @Test func `no flipped bit of any file changes a run silently`() throws {
    let folder = try Folder()
    let bits = try saved(folder)
    let newest = folder.checkpoints + "/step-4"
    var (passedOver, harmless) = (0, 0)
    for name in try listDirectory(newest) {
      let path = newest + "/" + name
      let whole = try readFile(path)
      for number in 0..<40 {
        var random = RandomStreamOfTests(seed: UInt64(number) &+ UInt64(whole.count))
        let bit = Int(random.next() % UInt64(whole.count * 8))
        var flipped = whole
        flipped[bit / 8] ^= 1 << (bit % 8)
        // A new file: the weights may have a second name in another checkpoint.
        try FileManager.default.removeItem(atPath: path)
        try flipped.write(to: URL(fileURLWithPath: path))
        let (trainer, store) = (try trainer(), store(folder))
        let restored = try store.restore(into: trainer).state
        #expect(restored.step == 2 || restored.step == 4, "\(name), bit \(bit)")
        #expect(try self.bits(trainer) == bits[restored.step], "\(name), bit \(bit)")
        if restored.step == 2 {
          #expect(store.notes.count == 1 && store.notes[0].contains("step-4"))
          passedOver += 1
        } else {
          harmless += 1
        }
      }
      try FileManager.default.removeItem(atPath: path)
      try whole.write(to: URL(fileURLWithPath: path))
    }
    // Blanks of JSON may become other blanks, nothing else is harmless.
    #expect(passedOver >= 150 && harmless <= 10, "\(passedOver) passed over, \(harmless) harmless")
  }

  @Test(arguments: ["model.safetensors", "optimizer.safetensors", "best.safetensors", "state.json", "manifest.json"])
  func `a file that is cut, empty or missing sends the run to the checkpoint before`(name: String) throws {
    let folder = try Folder()
    let bits = try saved(folder)
    let path = folder.checkpoints + "/step-4/" + name
    let whole = try readFile(path)
    // The last byte of JSON is a line's end, which no reader needs.
    for size in [whole.count - 2, whole.count / 2, 0, nil] {
      try FileManager.default.removeItem(atPath: path)
      if let size { try whole.prefix(size).write(to: URL(fileURLWithPath: path)) }
      let (trainer, store) = (try trainer(), store(folder))
      #expect(try store.restore(into: trainer).state.step == 2)
      #expect(try self.bits(trainer) == bits[2])
      #expect(store.notes.count == 1 && store.notes[0].contains("step-4"), "\(store.notes)")
      if size == nil { try whole.write(to: URL(fileURLWithPath: path)) }
    }
  }

  @Test func `with no whole checkpoint the run begins anew, untouched`() throws {
    let folder = try Folder()
    let bits = try saved(folder)
    for step in ["step-2", "step-4"] {
      try Data().write(to: URL(fileURLWithPath: folder.checkpoints + "/\(step)/state.json"))
    }
    let (trainer, store) = (try trainer(), store(folder))
    #expect(try store.restore(into: trainer).state == TrainingState())
    #expect(try self.bits(trainer) == bits[0])
    #expect(store.notes.count == 3 && store.notes[2].contains("starts over"))
  }

  @Test func `a state that is impossible is passed over even when its checksums are right`() throws {
    let folder = try Folder()
    _ = try saved(folder)
    let step = folder.checkpoints + "/step-4"
    for (from, to) in [("\"step\": 4", "\"step\": -1"), ("\"classes\": 2", "\"classes\": 4294967296")] {
      let text = String(decoding: try readFile(step + "/state.json"), as: UTF8.self)
      try writeFileAtomically(step + "/state.json", text.replacingOccurrences(of: from, with: to))
      let old = try FileManifest(readingFrom: step)
      try FileManifest(of: step, Array(old.files.keys), facts: old.facts).write(to: step)
      let store = store(folder)
      #expect(try store.restore(into: trainer()).state.step == 2)
      #expect(store.notes.contains { $0.contains("impossible") || $0.contains("belongs to step") }, "\(store.notes)")
      try writeFileAtomically(step + "/state.json", text)
    }
  }

  @Test func `two plans in one directory never read each other's checkpoints, and come back to their own`() throws {
    let folder = try Folder()
    let first = try saved(folder)
    let foreign = store(folder, plan: "plan b")
    let other = try trainer()
    #expect(try foreign.restore(into: other).state == TrainingState())
    // Plan b takes the names of plan a's checkpoints, with other weights.
    for step in 1...4 {
      try take(step + 1, other)
      if step % 2 == 0 { try foreign.save(state(step), of: other) }
    }
    try foreign.finishSaving()
    let second = try bits(other)
    #expect(second != first[4])
    for _ in 0..<2 {
      let (a, b) = (try trainer(), try trainer())
      let (storeA, storeB) = (store(folder), store(folder, plan: "plan b"))
      #expect(try storeA.restore(into: a).state == state(4, best: 2))
      #expect(try self.bits(a) == first[4])
      #expect(fileExists(try storeA.verifiedBest(after: 2)))
      #expect(try storeB.restore(into: b).state == state(4))
      #expect(try self.bits(b) == second)
      // And a saves once more, under names that b has.
      try storeA.save(state(4, best: 2), of: a)
      try storeA.finishSaving()
    }
  }

  @Test func `the oldest checkpoints beyond the limit go, those of the other plan stay`() throws {
    let folder = try Folder()
    _ = try saved(folder)
    let (trainer, store) = (try trainer(), store(folder, plan: "plan b", keep: 2))
    for step in 1...5 {
      try take(step, trainer)
      try store.save(state(step), of: trainer)
    }
    try store.finishSaving()
    let names = try listDirectory(folder.checkpoints)
    #expect(names.filter { $0.hasPrefix("step-") } == ["step-4", "step-5"])
    let aside = try #require(names.first { $0.hasPrefix("plan-") })
    #expect(try listDirectory(folder.checkpoints + "/" + aside) == ["step-2", "step-4"])
    try store.removeAll()
    #expect(!fileExists(folder.checkpoints))
  }

  /// Flips a bit in the middle of a file, under all of its names.
  private func damage(_ path: String) throws {
    let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    defer { try? file.close() }
    let middle = try file.seekToEnd() / 2
    try file.seek(toOffset: middle)
    let byte = try #require(try file.read(upToCount: 1)?.first)
    try file.seek(toOffset: middle)
    try file.write(contentsOf: Data([byte ^ 16]))
  }

  @Test(arguments: [1, 2]) func `a damaged checkpoint never takes the place of a whole one`(keep: Int) throws {
    let folder = try Folder()
    _ = try saved(folder)
    try damage(folder.checkpoints + "/step-4/optimizer.safetensors")
    let (first, again) = (try trainer(), store(folder, keep: keep))
    #expect(try again.restore(into: first).state.step == 2)
    try take(3, first)
    try again.save(state(3, best: 2), of: first)
    try again.finishSaving()
    let expected = try bits(first)
    let (second, last) = (try trainer(), store(folder, keep: keep))
    #expect(try last.restore(into: second).state.step == 3)
    #expect(try bits(second) == expected && last.notes.isEmpty)
    let steps = try listDirectory(folder.checkpoints).filter { $0.hasPrefix("step-") }
    #expect(steps == (keep == 1 ? ["step-3"] : ["step-2", "step-3"]))
  }

  @Test func `a best student that was damaged after it was written is never taken for whole by a later save`() throws {
    let folder = try Folder()
    let (trainer, store) = (try trainer(), store(folder))
    try take(1, trainer)
    try store.saveBest(trainer, step: 1)
    try store.finishSaving()
    try damage(folder.checkpoints + "/best/model.safetensors")
    try take(2, trainer)
    try store.save(state(2, best: 1), of: trainer)
    try store.finishSaving()
    let (other, again) = (try self.trainer(), self.store(folder))
    #expect(try again.restore(into: other).state == TrainingState())
    #expect(again.notes.contains { $0.contains("best.safetensors") }, "\(again.notes)")
    #expect(again.notes.last?.contains("starts over") == true)
    #expect(throws: RetortError.self) { try store.verifiedBest(after: 1) }
  }

  @Test func `a run that cannot bring back its best student ends, and never begins anew with its weights`() throws {
    let folder = try Folder()
    let bits = try saved(folder)
    for held in 0...1 {
      let fence = Fence()
      fence.left = held
      let error = #expect(throws: RetortError.self) {
        try self.store(folder, fence: fence).restore(into: self.trainer())
      }
      #expect(error?.what.contains("another job") == true)
    }
    let (trainer, store) = (try trainer(), store(folder))
    #expect(try store.restore(into: trainer).state.step == 4 && store.notes.isEmpty)
    #expect(try self.bits(trainer) == bits[4])
  }

  @Test func `checkpoints of another plan are named and left alone`() throws {
    let folder = try Folder()
    _ = try saved(folder)
    let store = store(folder, plan: "plan b")
    #expect(try store.restore(into: trainer()).state == TrainingState())
    #expect(store.notes == ["checkpoints of another plan are kept and not read: step-4, step-2"])
  }

  @Test func `a checkpoint is written into the files of the one dropped last, unless they have other names`() throws {
    let folder = try Folder()
    let (trainer, store) = (try trainer(), store(folder, keep: 1))
    /// The number of the file that a checkpoint's moments are in.
    func save(_ step: Int) throws -> Substring? {
      try take(step, trainer)
      try store.save(state(step), of: trainer)
      try store.finishSaving()
      let file = "\(folder.checkpoints)/step-\(step)/optimizer.safetensors"
      return try fileIdentity(file).split(separator: " ").first
    }
    let numbers = [try save(1), try save(2), try save(3)]
    #expect(numbers[2] == numbers[0] && numbers[1] != numbers[0])
    // A name by which the content of the third one is kept.
    let kept = "\(folder.path)/kept"
    #expect(link("\(folder.checkpoints)/step-3/optimizer.safetensors", kept) == 0)
    let content = try readFile(kept)
    #expect(try save(4) == numbers[1])
    #expect(try save(5) != numbers[2])
    _ = try save(6)
    #expect(try readFile(kept) == content)
    let other = try self.trainer()
    #expect(try self.store(folder).restore(into: other).state.step == 6)
    #expect(try bits(other) == bits(trainer))
  }

  private final class Fence: WriteFence {
    var isHeld = true
    /// How often it is held yet.
    var left = Int.max
    func requireHeld() throws {
      left -= 1
      if !isHeld || left < 0 { throw RetortError(.checkpoint, "the directory is another job's") }
    }
  }

  @Test func `a process that has lost its directory changes nothing there`() throws {
    let folder = try Folder()
    _ = try saved(folder)
    let fence = Fence()
    let (trainer, store) = (try trainer(), store(folder, fence: fence))
    _ = try store.restore(into: trainer)
    let before = try listDirectory(folder.checkpoints)
    try take(5, trainer)
    // Lost before the save, and during it.
    for held in 0...1 {
      (fence.isHeld, fence.left) = (true, held)
      #expect(throws: RetortError.self) {
        try store.save(state(5, best: 2), of: trainer)
        try store.finishSaving()
      }
    }
    for held in 0...1 {
      fence.left = held
      #expect(throws: RetortError.self) {
        try store.saveBest(trainer, step: 5)
        try store.finishSaving()
      }
    }
    fence.isHeld = false
    #expect(throws: RetortError.self) { try store.removeAll() }
    #expect(try listDirectory(folder.checkpoints) == before)
  }
}

/// xorshift64*: which bit is flipped must not depend on the code under test.
private struct RandomStreamOfTests {
  private var state: UInt64
  init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }
  mutating func next() -> UInt64 {
    state ^= state >> 12
    state ^= state << 25
    state ^= state >> 27
    return state &* 0x2545_f491_4f6c_dd1d
  }
}
