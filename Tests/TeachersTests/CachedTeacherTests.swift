import Datasets
import Models
import Objectives
import Platform
import Tensors
import TestSupport
import Testing

@testable import Teachers

/// A teacher that says for each example what its first id and its length are, and counts how often it is asked.
final class CountingTeacher: Teacher {
  let name = "counting"
  let classCount = 2
  let parameterCount = 1
  let data: TokenizedDataset
  var asked: [Int] = []

  init(_ data: TokenizedDataset) { self.data = data }

  var shape: ModelShape? { nil }
  var isCollective: Bool { false }
  var computedFLOPs: Double { 0 }
  var ahead: (any TeacherAhead)? { nil }
  var keeper: (any SignalKeeper)? { nil }
  func takeRemark() -> String? { nil }

  func signals(for samples: [Int], in split: Split, needs: SignalNeeds) throws -> TeacherSignals {
    asked += samples
    let values = samples.flatMap { [Float(data.tokens($0)[0]), Float(data.length($0))] }
    return TeacherSignals(.logits(Tensor(values, [samples.count, 2])))
  }
}

@Suite struct CachedTeacherTests {
  /// `count` different sequences.
  func data(_ count: Int, from first: Int = 0) throws -> TokenizedDataset {
    try TokenizedDataset(
      examples: (first..<first + count).map { TokenizedExample(ids: [Int32($0), Int32($0 % 7), 3]) })
  }

  func cached(_ teacher: CountingTeacher, _ folder: StoreFolder) -> CachedTeacher {
    CachedTeacher(teacher, train: teacher.data, validation: teacher.data, store: folder.store(width: 2))
  }

  @Test func `each example is asked for once, in whatever batches it comes, and by later runs not at all`() throws {
    let folder = try StoreFolder()
    let teacher = CountingTeacher(try data(10))
    let first = cached(teacher, folder)
    for batch in [[0, 1, 2], [2, 3, 0], [9, 8, 7, 6], [3, 4, 5, 6]] {
      let signals = try first.logits(for: batch, in: .train).materialized
      #expect(signals.array == batch.flatMap { [Float($0), 3] } && signals.shape == [batch.count, 2])
    }
    #expect(teacher.asked.sorted() == Array(0..<10))
    #expect(first.statistics == .init(hits: 4, misses: 10, bytesRead: 32))
    first.publishSignals()
    let second = cached(teacher, folder)
    #expect(try second.logits(for: Array(0..<10), in: .train).materialized.array.count == 20)
    #expect(teacher.asked.count == 10 && second.statistics.hits == 10 && second.statistics.misses == 0)
  }

  @Test func `entries are found by content, in another order and in another data set`() throws {
    let folder = try StoreFolder()
    let first = CountingTeacher(try data(10))
    _ = try cached(first, folder).logits(for: Array(0..<10), in: .train)
    let other = CountingTeacher(try data(10, from: 5))
    let second = cached(other, folder)
    #expect(try second.logits(for: [4, 5, 0], in: .validation).materialized.array == [9, 3, 10, 3, 5, 3])
    #expect(other.asked == [5])
  }

  @Test func `segments are part of the content`() throws {
    let folder = try StoreFolder()
    let plain = try TokenizedDataset(examples: [TokenizedExample(ids: [5, 6, 7])])
    let typed = try TokenizedDataset(examples: [TokenizedExample(ids: [5, 6, 7], typeIDs: [0, 1, 1])])
    _ = try cached(CountingTeacher(plain), folder).logits(for: [0], in: .train)
    let teacher = CountingTeacher(typed)
    _ = try cached(teacher, folder).logits(for: [0], in: .train)
    #expect(teacher.asked == [0])
  }

  @Test func `an empty batch is an empty tensor`() throws {
    let folder = try StoreFolder()
    let teacher = CountingTeacher(try data(1))
    #expect(try cached(teacher, folder).logits(for: [], in: .train).materialized.shape == [0, 2])
  }

  @Test func `the key of a store changes with everything that decides the values`() {
    let key = SignalKey.of(teacher: "a", labels: ["x", "y"], precision: .fp32, program: "p")
    #expect(key.utf8.count == 64)
    #expect(key == SignalKey.of(teacher: "a", labels: ["x", "y"], precision: .fp32, program: "p"))
    let others = [
      SignalKey.of(teacher: "b", labels: ["x", "y"], precision: .fp32, program: "p"),
      SignalKey.of(teacher: "a", labels: ["y", "x"], precision: .fp32, program: "p"),
      SignalKey.of(teacher: "a", labels: ["x", "y"], precision: .bf16, program: "p"),
      SignalKey.of(teacher: "a", labels: ["x", "y"], precision: .fp32, program: "q"),
    ]
    #expect(Set(others + [key]).count == 5)
  }
}
