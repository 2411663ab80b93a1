import Datasets
import Testing

@Suite struct SamplerTests {
  /// Lengths that vary, without a random generator: 1 to 60.
  private func lengths(_ count: Int) -> [Int32] { (0..<count).map { Int32($0 &* 7919 % 60) + 1 } }

  @Test func `every example occurs exactly once an epoch, in equal steps`() {
    for count in [1, 2, 3, 7, 31, 32, 33, 100, 1_601, 1_700, 3_333] {
      for batchSize in [1, 2, 3, 32, 64, 5_000] {
        for (shuffle, group) in [(false, false), (true, false), (true, true), (false, true)] {
          let sampler = Sampler(
            lengths: lengths(count), batchSize: .examples(batchSize), shuffle: shuffle, groupByLength: group, seed: 42)
          for epoch in [0, 1, 7] {
            let batches = sampler.batches(epoch: epoch)
            #expect(batches.count == sampler.stepsPerEpoch)
            #expect(batches.joined().sorted() == Array(0..<count))
            #expect(batches.dropLast().allSatisfy { $0.count == batchSize })
            #expect(batches.last.map { !$0.isEmpty && $0.count <= batchSize } == true)
          }
        }
      }
    }
  }

  @Test func `the order is a pure function of seed and epoch`() {
    func order(_ seed: UInt64, _ epoch: Int) -> [[Int]] {
      Sampler(lengths: lengths(500), batchSize: 16, shuffle: true, groupByLength: true, seed: seed).batches(
        epoch: epoch)
    }
    #expect(order(1, 0) == order(1, 0))
    #expect(order(1, 0) != order(1, 1))
    #expect(order(1, 0) != order(2, 0))
  }

  @Test func `the shuffled order of a seed never changes`() {
    let sampler = Sampler(
      lengths: Array(repeating: 1, count: 8), batchSize: 8, shuffle: true, groupByLength: false, seed: 42)
    #expect(sampler.batches(epoch: 0) == [[7, 4, 5, 0, 2, 6, 3, 1]])
  }

  @Test func `without shuffling the order is that of the file`() {
    let sampler = Sampler(lengths: lengths(10), batchSize: 4, shuffle: false, groupByLength: true, seed: 1)
    #expect(sampler.batches(epoch: 3) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]])
  }

  @Test func `every place is equally likely for every example`() {
    // 2,000 epochs of 4 examples: each of the 16 counts is 500 ± 4 standard deviations of 19.4.
    var counts = [[Int]](repeating: [0, 0, 0, 0], count: 4)
    let sampler = Sampler(
      lengths: Array(repeating: 1, count: 4), batchSize: 4, shuffle: true, groupByLength: false, seed: 7)
    for epoch in 0..<2_000 {
      for (place, example) in sampler.batches(epoch: epoch)[0].enumerated() { counts[example][place] += 1 }
    }
    #expect(counts.joined().allSatisfy { abs($0 - 500) < 78 })
  }

  @Test func `a batch size above the number of examples is all of them`() {
    for size in [10, 11, Int.max] {
      let sampler = Sampler(
        lengths: lengths(10), batchSize: .examples(size), shuffle: true, groupByLength: true, seed: 1)
      #expect(sampler.stepsPerEpoch == 1 && sampler.batches(epoch: 0).map { $0.sorted() } == [Array(0..<10)])
    }
  }

  @Test func `grouping gives batches of similar length, in shuffled order`() {
    let sizes = lengths(6_400)
    let sampler = Sampler(lengths: sizes, batchSize: 32, shuffle: true, groupByLength: true, seed: 42)
    let batches = sampler.batches(epoch: 0)
    func spread(_ batch: [Int]) -> Int32 { batch.map { sizes[$0] }.max()! - batch.map { sizes[$0] }.min()! }
    // 1,600 examples of 60 lengths: about 27 of each length in a window.
    #expect(batches.allSatisfy { spread($0) <= 5 })
    let longest = batches.map { batch in batch.map { sizes[$0] }.max()! }
    #expect(longest != longest.sorted() && longest != longest.sorted(by: >))
  }

  @Test func `a partition loses nothing, keeps the batch's order and balances tokens`() {
    for count in [0, 1, 2, 5, 31, 32, 64, 257] {
      let sizes = lengths(1_000)
      let batch = (0..<count).map { ($0 * 37 + 11) % 1_000 }
      for parts in [1, 2, 3, 4, 7, 64] {
        let result = Sampler.partition(batch, lengths: sizes, parts: parts)
        #expect(result.count == parts)
        #expect(result.joined().sorted() == batch.sorted())
        let places = Dictionary(uniqueKeysWithValues: batch.enumerated().map { ($1, $0) })
        for part in result { #expect(part.map { places[$0]! } == part.map { places[$0]! }.sorted()) }
        let loads = result.map { part in part.reduce(0) { $0 + Int(sizes[$1]) } }
        #expect(loads.max()! - loads.min()! <= batch.map { Int(sizes[$0]) }.max() ?? 0)
        if count >= parts { #expect(result.allSatisfy { !$0.isEmpty }) }
        #expect(result == Sampler.partition(batch, lengths: sizes, parts: parts))
      }
    }
  }

  @Test func `equal lengths are dealt in equal numbers`() {
    let result = Sampler.partition(Array(0..<10), lengths: [Int32](repeating: 8, count: 10), parts: 4)
    #expect(result == [[0, 4, 8], [1, 5, 9], [2, 6], [3, 7]])
  }

  @Test func `passes lose nothing, keep within the bound and are about equal`() {
    let sizes = lengths(1_000)
    for count in [0, 1, 2, 5, 31, 64, 257] {
      let part = (0..<count).map { ($0 * 37 + 11) % 1_000 }
      let total = part.reduce(0) { $0 + Int(sizes[$1]) }
      for bound in [1, 30, 59, 60, 100, 1_000, 100_000] {
        let passes = Sampler.passes(part, lengths: sizes, tokens: bound)
        #expect(passes.joined().sorted() == part.sorted())
        let loads = passes.map { pass in pass.reduce(0) { $0 + Int(sizes[$1]) } }
        #expect(zip(passes, loads).allSatisfy { !$0.isEmpty && ($1 <= bound || $0.count == 1) })
        if bound >= total { #expect(passes == (count == 0 ? [] : [part])) }
        // With room to balance, no more passes than are needed, and none that is nearly empty.
        if bound >= 1_000, count > 0 {
          #expect(passes.count == (total + bound - 1) / bound)
          #expect(loads.max()! - loads.min()! <= 60)
        }
      }
    }
  }

  @Test func `evaluation sees every example once, on any number of ranks`() {
    for count in [1, 2, 3, 7, 64, 872, 1_000] {
      for ranks in [1, 2, 3, 4, 8, 100] {
        for (size, tokens) in [(1, Int.max), (32, .max), (64, 200), (8, 1)] {
          for known in [true, false] {
            let sizes = lengths(count)
            let shards = Sampler.evaluationShards(
              count: count, lengths: known ? sizes : nil, ranks: ranks, batchSize: size, batchTokens: tokens)
            #expect(shards.count == ranks)
            #expect(shards.joined().joined().sorted() == Array(0..<count))
            for batch in shards.joined() {
              #expect(!batch.isEmpty && batch.count <= size)
              let total = batch.reduce(0) { $0 + (known ? Int(sizes[$1]) : 1) }
              #expect(batch.count == 1 || total <= tokens)
            }
            if count >= ranks { #expect(shards.allSatisfy { !$0.isEmpty }) }
          }
        }
      }
    }
  }

  @Test func `evaluation shares tokens about equally`() {
    let sizes = lengths(872)
    let shards = Sampler.evaluationShards(count: 872, lengths: sizes, ranks: 3, batchSize: 32)
    let loads = shards.map { $0.joined().reduce(0) { $0 + Int(sizes[$1]) } }
    #expect(Double(loads.max()!) < 1.1 * Double(loads.min()!))
  }
}

@Suite struct BatchTests {
  @Test func `a batch packs sequences without padding`() throws {
    let data = try TokenizedDataset(examples: [
      TokenizedExample(ids: [1, 2, 3], typeIDs: [0, 1, 1], label: 1), TokenizedExample(ids: [4]),
      TokenizedExample(ids: [5, 6], label: 0),
    ])
    let batch = data.batch([2, 0, 1])
    #expect(batch.tokens == [5, 6, 1, 2, 3, 4])
    #expect(batch.typeIDs == [0, 0, 0, 1, 1, 0])
    #expect(batch.positions == [0, 1, 0, 1, 2, 0])
    #expect(batch.offsets == [0, 2, 5, 6])
    #expect(batch.labels == [0, 1, -1] && batch.samples == [2, 0, 1])
    #expect(batch.count == 3 && batch.tokenCount == 6 && batch.featureCount == 0)
    #expect(batch.contentHashes == [2, 0, 1].map(data.contentHash))
  }

  @Test func `an empty batch is whole`() throws {
    let data = try TokenizedDataset(examples: [TokenizedExample(ids: [1])])
    let batch = data.batch([])
    #expect(batch == Batch() && batch.offsets == [0])
  }
}
