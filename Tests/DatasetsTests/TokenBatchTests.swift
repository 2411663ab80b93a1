import Datasets
import Testing

@Suite struct TokenBatchTests {
  /// Lengths that vary, without a random generator: 1 to 60.
  private func lengths(_ count: Int) -> [Int32] { (0..<count).map { Int32($0 &* 7919 % 60) + 1 } }

  private func sampler(
    _ lengths: [Int32], _ limit: Int, shuffle: Bool = true, group: Bool = true, seed: UInt64 = 42
  ) -> Sampler {
    Sampler(lengths: lengths, batchSize: .tokens(limit), shuffle: shuffle, groupByLength: group, seed: seed)
  }

  private func tokens(_ batch: [Int], _ lengths: [Int32]) -> Int { batch.reduce(0) { $0 + Int(lengths[$1]) } }

  @Test func `every example occurs exactly once an epoch, in batches within the limit, as many in each epoch`() {
    for count in [1, 2, 3, 7, 60, 61, 100, 1_601, 9_999] {
      let sizes = lengths(count)
      for limit in [60, 61, 100, 512, 4_096, 1_000_000, Int.max] {
        for (shuffle, group) in [(false, false), (true, false), (true, true), (false, true)] {
          let sampler = sampler(sizes, limit, shuffle: shuffle, group: group)
          for epoch in [0, 1, 7] {
            let batches = sampler.batches(epoch: epoch)
            #expect(batches.count == sampler.stepsPerEpoch)
            #expect(batches.joined().sorted() == Array(0..<count))
            #expect(batches.allSatisfy { !$0.isEmpty && tokens($0, sizes) <= limit })
          }
        }
      }
    }
  }

  @Test func `there are hardly more batches than the tokens need, and none is nearly empty`() {
    let sizes = lengths(20_000)
    let total = sizes.reduce(0) { $0 + Int($1) }
    for limit in [512, 1_024, 4_096] {
      for (shuffle, group) in [(false, false), (true, false), (true, true)] {
        let batches = sampler(sizes, limit, shuffle: shuffle, group: group).batches(epoch: 0)
        let fewest = (total + limit - 1) / limit
        // Half of an example of 60 tokens finds no room at the end of a batch, and windows are cut alike.
        let most = Double(fewest) * (1 + 30 / Double(limit)) * 1.03
        #expect(Double(batches.count) <= most, "\(limit) \(shuffle) \(group)")
        let least = batches.map { tokens($0, sizes) }.min()!
        #expect(least > limit * 8 / 10, "\(limit) \(shuffle) \(group)")
      }
    }
  }

  @Test func `the order is a pure function of seed and epoch`() {
    let sizes = lengths(2_000)
    for group in [false, true] {
      func order(_ seed: UInt64, _ epoch: Int) -> [[Int]] {
        sampler(sizes, 512, group: group, seed: seed).batches(epoch: epoch)
      }
      #expect(order(1, 0) == order(1, 0))
      #expect(order(1, 0) != order(1, 1))
      #expect(order(1, 0) != order(2, 0))
    }
  }

  @Test func `without shuffling the order is that of the file, cut into batches of like size`() {
    let sampler = sampler([5, 5, 5, 5, 5, 5, 1], 20, shuffle: false)
    // Full batches would be 20 and 11 tokens.
    #expect(sampler.batches(epoch: 3) == [[0, 1, 2], [3, 4, 5, 6]])
  }

  @Test func `grouping gives batches of similar length, in shuffled order`() {
    let sizes = lengths(12_000)
    let batches = sampler(sizes, 1_000).batches(epoch: 0)
    func spread(_ batch: [Int]) -> Int32 { batch.map { sizes[$0] }.max()! - batch.map { sizes[$0] }.min()! }
    // 7 windows, each with 28 examples of every length: a batch of the shortest ones spans some more of them.
    #expect(batches.filter { $0.count < 100 }.allSatisfy { spread($0) <= 5 })
    let longest = batches.map { batch in batch.map { sizes[$0] }.max()! }
    #expect(longest != longest.sorted() && longest != longest.sorted(by: >))
  }

  @Test func `without grouping every batch has examples of all lengths`() {
    let sizes = lengths(12_000)
    let batches = sampler(sizes, 2_000, group: false).batches(epoch: 0)
    for batch in batches {
      let lengths = batch.map { sizes[$0] }
      #expect(lengths.min()! <= 3 && lengths.max()! >= 58)
    }
    let counts = batches.map(\.count)
    #expect(counts.max()! - counts.min()! <= 1)
  }

  @Test func `every example of a length meets every window`() {
    // 40 examples of one length in 4 batches of 10: in 400 epochs each is with example 0 in 9 of 39, 92 ± 8.4.
    var together = [Int](repeating: 0, count: 40)
    let sampler = sampler([Int32](repeating: 10, count: 40), 100)
    #expect(sampler.stepsPerEpoch == 4)
    for epoch in 0..<400 {
      for batch in sampler.batches(epoch: epoch) where batch.contains(0) {
        for other in batch where other != 0 { together[other] += 1 }
      }
    }
    #expect(together.dropFirst().allSatisfy { abs($0 - 92) < 42 })
  }
}
