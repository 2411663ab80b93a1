/// How the examples of an epoch are laid into batches of at most so many tokens, the same way in every epoch.
///
/// The order, longest example first, is taken in groups of W neighbours; each of W windows gets one example of every
/// group, and the windows are cut into batches behind the same groups:
///
///     order    a a a | b b b | c c c | d d d | e e       W = 3 windows, groups of 3
///     window 0 a       b   ‖   c       d       e         a cut behind the second group
///     window 1   a       b ‖     c       d       e
///     window 2     a   b   ‖       c   d
///
/// No batch has more tokens than the longest examples of its groups together, whichever window each of them went to.
/// So the cuts follow from the lengths alone: the number of batches is known before anything is shuffled.
struct TokenFilling: Sendable {
  /// W.
  let windows: Int
  /// Where the batches of a window end, counted in groups.
  private let ends: [Int]
  /// N.
  private let count: Int

  /// - Parameters:
  ///   - lengths: tokens of each example, [N].
  ///   - limit: tokens of a batch, at least those of the longest example.
  ///   - shuffle: false: batches are cut from the order of the file.
  ///   - groupByLength: whether windows are cut into batches of like length; otherwise each of them is one batch, in
  ///     which all lengths occur.
  init(_ lengths: [Int32], limit: Int, shuffle: Bool, groupByLength: Bool) {
    let sizes = (shuffle ? lengths.sorted(by: >) : lengths).map(Int.init)
    let (longest, total) = (sizes.max() ?? 0, sizes.reduce(0, +))
    precondition(limit >= max(1, longest), "batches of \(limit) tokens cannot hold an example of \(longest)")
    let limit = min(limit, max(1, total))
    count = sizes.count
    if !shuffle {
      windows = 1
    } else if groupByLength {
      windows = max(1, total / (Sampler.windowBatches * limit))
    } else {
      windows = TokenFilling.fewestBatches(sizes, limit)
    }
    let bounds = TokenFilling.bounds(sizes, windows)
    ends = shuffle && !groupByLength ? [bounds.count] : TokenFilling.evenEnds(bounds, limit)
  }

  /// Batches of an epoch.
  var batchCount: Int {
    guard count > 0 else { return 0 }
    // Of a last batch of one incomplete group, some windows have nothing.
    let lastGroup = ends.dropLast().last ?? 0
    return windows * (ends.count - 1) + min(windows, count - lastGroup * windows)
  }

  /// Cuts an order of all examples into batches; longest first, or that of the file, as the lengths were given.
  func batches(_ order: [Int]) -> [[Int]] {
    var batches: [[Int]] = []
    batches.reserveCapacity(batchCount)
    for (first, end) in zip([0] + ends, ends) {
      for window in 0..<windows {
        let batch = stride(from: first * windows + window, to: min(end * windows, count), by: windows).map { order[$0] }
        if !batch.isEmpty { batches.append(batch) }
      }
    }
    return batches
  }

  /// The most tokens of an example of each group.
  private static func bounds(_ sizes: [Int], _ windows: Int) -> [Int] {
    stride(from: 0, to: sizes.count, by: windows).map { sizes[$0] }
  }

  /// The fewest batches of one example a group that keep the limit; more batches have fewer and shorter examples.
  private static func fewestBatches(_ sizes: [Int], _ limit: Int) -> Int {
    var (low, high) = (1, max(1, sizes.count))
    while low < high {
      let middle = (low + high) / 2
      if bounds(sizes, middle).reduce(0, +) <= limit { high = middle } else { low = middle + 1 }
    }
    return low
  }

  /// The ends of runs with a sum of at most `limit` each: hardly more of them than must be, about equally full.
  private static func evenEnds(_ sizes: [Int], _ limit: Int) -> [Int] {
    let fullest = greedyEnds(sizes, limit)
    // One or two runs more leave the room that equal ones need; where sizes are so uneven that they do not, full runs
    // and a smaller one at the end have to do.
    for count in fullest.count..<fullest.count + 8 {
      if let ends = evenEnds(sizes, limit, count) { return ends }
    }
    return fullest
  }

  /// The ends of `count` runs, each as near as it can be to its share of what is left; nil where one would not fit.
  private static func evenEnds(_ sizes: [Int], _ limit: Int, _ count: Int) -> [Int]? {
    var ends: [Int] = []
    var left = sizes.reduce(0, +)
    var place = 0
    for runs in stride(from: count, to: 0, by: -1) where place < sizes.count {
      var sum = sizes[place]
      place += 1
      // Up to the example with whose half the share is reached.
      while place < sizes.count, runs == 1 || (2 * sum + sizes[place]) * runs <= 2 * left, sum + sizes[place] <= limit {
        sum += sizes[place]
        place += 1
      }
      left -= sum
      ends.append(place)
    }
    return place == sizes.count ? ends : nil
  }

  /// The ends of runs that are filled up to a limit one after another.
  private static func greedyEnds(_ sizes: [Int], _ limit: Int) -> [Int] {
    var ends: [Int] = []
    var sum = 0
    for (place, size) in sizes.enumerated() {
      if sum + size > limit && place > 0 {
        ends.append(place)
        sum = 0
      }
      sum += size
    }
    if !sizes.isEmpty { ends.append(sizes.count) }
    return ends
  }
}
