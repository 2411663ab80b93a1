/// Assigns the examples of an epoch to batches with a token limit, by the same cuts in every epoch.
///
/// The order, longest example first, is divided into groups of W neighbours. Each of W windows gets one example of
/// every group, and all windows are cut into batches after the same groups:
///
///     order    a a a | b b b | c c c | d d d | e e       W = 3 windows, groups of 3
///     window 0 a       b   ‖   c       d       e         a cut after the second group
///     window 1   a       b ‖     c       d       e
///     window 2     a   b   ‖       c   d
///
/// A batch has at most as many tokens as the longest examples of its groups together, however a group's examples are
/// assigned to windows. The cuts therefore depend on the lengths only, and the number of batches is known
/// before the examples are shuffled.
struct TokenFilling: Sendable {
  /// W.
  let windows: Int
  /// The groups at which the batches of a window end.
  private let ends: [Int]
  /// N.
  private let count: Int

  /// - Parameters:
  ///   - lengths: tokens of each example, [N].
  ///   - limit: maximum tokens of a batch, at least the length of the longest example.
  ///   - shuffle: false: batches are cut from the file order.
  ///   - groupByLength: true: windows are cut into batches of similar length; false: each window is one batch, with
  ///     examples of all lengths.
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

  /// The number of batches of an epoch.
  var batchCount: Int {
    guard count > 0 else { return 0 }
    // If the last batch is one incomplete group, only the windows with an example of it have that batch.
    let lastGroup = ends.dropLast().last ?? 0
    return windows * (ends.count - 1) + min(windows, count - lastGroup * windows)
  }

  /// Cuts an order of all examples into batches: groups by descending length, or the file order without `shuffle`.
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

  /// The length of each group's longest example, which is its first.
  private static func bounds(_ sizes: [Int], _ windows: Int) -> [Int] {
    stride(from: 0, to: sizes.count, by: windows).map { sizes[$0] }
  }

  /// The fewest batches, each with one example per group, within the limit; more batches have fewer, shorter examples.
  private static func fewestBatches(_ sizes: [Int], _ limit: Int) -> Int {
    var (low, high) = (1, max(1, sizes.count))
    while low < high {
      let middle = (low + high) / 2
      if bounds(sizes, middle).reduce(0, +) <= limit { high = middle } else { low = middle + 1 }
    }
    return low
  }

  /// The ends of runs with a sum of at most `limit` each: close to the fewest runs, about equally full.
  private static func evenEnds(_ sizes: [Int], _ limit: Int) -> [Int] {
    let fullest = greedyEnds(sizes, limit)
    // A few more runs than the minimum usually leave enough room for even runs; for very uneven sizes the greedy runs,
    // with a smaller one at the end, are used.
    for count in fullest.count..<fullest.count + 8 {
      if let ends = evenEnds(sizes, limit, count) { return ends }
    }
    return fullest
  }

  /// The ends of `count` runs, each as close as possible to its share of the remaining sum; nil if they do not fit.
  private static func evenEnds(_ sizes: [Int], _ limit: Int, _ count: Int) -> [Int]? {
    var ends: [Int] = []
    var left = sizes.reduce(0, +)
    var place = 0
    for runs in stride(from: count, to: 0, by: -1) where place < sizes.count {
      var sum = sizes[place]
      place += 1
      // Adds an example as long as at least half of it is within the share.
      while place < sizes.count, runs == 1 || (2 * sum + sizes[place]) * runs <= 2 * left, sum + sizes[place] <= limit {
        sum += sizes[place]
        place += 1
      }
      left -= sum
      ends.append(place)
    }
    return place == sizes.count ? ends : nil
  }

  /// The ends of runs that are filled to the limit one after another.
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
