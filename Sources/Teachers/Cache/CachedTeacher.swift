import Datasets
import Models
import Objectives
import Platform
import Tensors

/// A teacher that computes the signal of each example once and afterwards reads it from a store.
///
/// A frozen teacher gives the same signal for an example in each epoch, on each rank and in each batch, to the last bit
/// (`ResidentTeacher` ensures this), so training is the same with and without the cache.
package final class CachedTeacher: Teacher, SignalKeeper {
  /// The counts of the cache on this rank, in examples and bytes.
  package struct Statistics: Sendable, Equatable {
    /// Examples read from the store.
    package var hits: Int
    /// Examples computed by the teacher.
    package var misses: Int
    /// Bytes of values read from the store.
    package var bytesRead: Int
    /// Bytes of segments written.
    package var bytesWritten: Int

    /// Makes counts, 0 by default.
    package init(hits: Int = 0, misses: Int = 0, bytesRead: Int = 0, bytesWritten: Int = 0) {
      self.hits = hits
      self.misses = misses
      self.bytesRead = bytesRead
      self.bytesWritten = bytesWritten
    }
  }

  private let teacher: any Teacher
  private let store: SignalStore
  private var train: CheckedExamples
  private var validation: CheckedExamples
  private var counts = Statistics()

  /// - Parameters:
  ///   - teacher: a teacher whose signal for an example is the same in any batch.
  ///   - train: the examples in the teacher's tokens, in the order of the student's.
  ///   - validation: likewise.
  ///   - store: the store of this teacher; its entries have one float per class.
  package init(
    _ teacher: any Teacher, train: any ExampleSource, validation: any ExampleSource, store: SignalStore
  ) {
    precondition(store.width == teacher.classCount, "\(store.width) floats for \(teacher.classCount) classes")
    self.teacher = teacher
    self.store = store
    self.train = CheckedExamples(train)
    self.validation = CheckedExamples(validation)
  }

  package var name: String { teacher.name }
  package var classCount: Int { teacher.classCount }
  package var parameterCount: Int { teacher.parameterCount }
  package var shape: ModelShape? { teacher.shape }
  package var isCollective: Bool { false }
  package var computedFLOPs: Double { teacher.computedFLOPs }
  package var ahead: (any TeacherAhead)? { nil }
  package var keeper: (any SignalKeeper)? { self }

  /// The counts since the cache was created.
  package var statistics: Statistics {
    var result = counts
    result.bytesWritten = store.publishedBytes
    return result
  }

  /// Logits are cached; requests for values inside the teacher are passed to it, since these values are too large.
  package func signals(for samples: [Int], in split: Split, needs: SignalNeeds) throws -> TeacherSignals {
    if needs.areInner { return try teacher.signals(for: samples, in: split, needs: needs) }
    if !needs.logits { return TeacherSignals(nil) }
    return split == .train ? try signals(for: samples, split, &train) : try signals(for: samples, split, &validation)
  }

  package func publishSignals() { store.publish() }
  package func collectSignals() { store.collect() }
  package func takeRemark() -> String? { store.takeRemark() ?? teacher.takeRemark() }

  private func signals(for samples: [Int], _ split: Split, _ examples: inout CheckedExamples) throws
    -> TeacherSignals
  {
    let entries = examples.entries(of: samples)
    let logits = Tensor(uninitialized: [entries.last?.upperBound ?? 0, classCount])
    let values = logits.floats
    var missing: [Int] = []
    for (place, sample) in samples.enumerated() {
      let identities = examples.identities(of: sample)
      let isWhole = zip(entries[place], identities).allSatisfy { row, identity in
        store.read(hash: identity.hash, check: identity.check, into: values + row * classCount)
      }
      if !isWhole { missing.append(place) }
    }
    counts.hits += samples.count - missing.count
    let missingRows = missing.reduce(0) { $0 + entries[$1].count }
    counts.bytesRead += 4 * classCount * (logits.rows - missingRows)
    if missing.isEmpty { return TeacherSignals(.logits(logits)) }
    counts.misses += missing.count
    let asked = missing.map { samples[$0] }
    let computed = try teacher.logits(for: asked, in: split).materialized
    var from = computed.floats
    for place in missing {
      for (row, identity) in zip(entries[place], examples.identities(of: samples[place])) {
        (values + row * classCount).update(from: from, count: classCount)
        store.add(hash: identity.hash, check: identity.check, values: from)
        from += classCount
      }
    }
    return TeacherSignals(.logits(logits))
  }
}

/// Examples with two independent hashes of the content of each of their rows.
private struct CheckedExamples {
  private let source: any ExampleSource
  /// The second hash of each example, [N], computed on first use; 0 before.
  private var checks: [UInt64]

  init(_ source: any ExampleSource) {
    self.source = source
    checks = [UInt64](repeating: 0, count: source.count)
  }

  /// The rows of each example among those of all of them.
  func entries(of samples: [Int]) -> [Range<Int>] {
    var row = 0
    return samples.map { sample in
      defer { row += source.lossRows(sample) }
      return row..<row + source.lossRows(sample)
    }
  }

  /// The hashes of each row of an example: those of the example, and for tokens mixed with the token's place.
  mutating func identities(of sample: Int) -> [(hash: UInt64, check: UInt64)] {
    if source.kind.definition.rows == .sequences { return CheckedExamples.identities(source.batch([sample])) }
    let isOfTokens = source.kind.definition.rows == .tokens
    let batch = isOfTokens || checks[sample] == 0 ? source.batch([sample]) : Batch()
    if checks[sample] == 0 { checks[sample] = CheckedExamples.check(batch) }
    let own = (hash: source.contentHash(sample), check: checks[sample])
    guard isOfTokens else { return [own] }
    return batch.countedTokens.map { token in
      let place = UInt64(token) + 1
      return (
        SignalFormat.finish(SignalFormat.fold(own.hash, place)),
        SignalFormat.finish(SignalFormat.fold(own.check, place)) | 1
      )
    }
  }

  /// The hashes of each sequence by itself, whatever other sequence stands beside it.
  private static func identities(_ example: Batch) -> [(hash: UInt64, check: UInt64)] {
    example.contentHashes.enumerated().map { index, hash in
      let tokens = example.tokens[Int(example.offsets[index])..<Int(example.offsets[index + 1])]
      var state = SignalFormat.fold(0x5665_6374_6f72, UInt64(tokens.count))
      for token in tokens { state = SignalFormat.fold(state, UInt64(UInt32(bitPattern: token))) }
      return (hash, SignalFormat.finish(state) | 1)
    }
  }

  /// A hash of ids, segments and numbers, never 0, with other constants than `contentHash`.
  private static func check(_ example: Batch) -> UInt64 {
    var state = SignalFormat.fold(0x5369_676e_616c, UInt64(example.tokenCount))
    for (token, type) in zip(example.tokens, example.typeIDs) {
      state = SignalFormat.fold(
        state, UInt64(UInt32(bitPattern: token)) | UInt64(UInt32(bitPattern: type)) << 32)
    }
    // The windows of a text differ from the same tokens in one sequence.
    for start in example.offsets.dropFirst().dropLast() { state = SignalFormat.fold(state, UInt64(start)) }
    for number in example.features { state = SignalFormat.fold(state, UInt64(number.bitPattern)) }
    return SignalFormat.finish(state) | 1
  }
}
