extension Sampler {
  /// Splits a rank's part of a batch into passes of at most `tokens` tokens each; an example longer than that is a pass
  /// by itself.
  ///
  /// Returns the smallest number of passes that `partition` balances within the bound: balanced passes avoid a short
  /// last one, which would leave the kernels idle.
  ///
  /// - Parameter lengths: tokens of each example of the data set, [N], at least 1 each.
  /// - Returns: passes that are not empty; no passes for an empty part.
  package static func passes(_ samples: [Int], lengths: [Int32], tokens: Int) -> [[Int]] {
    precondition(tokens > 0, "a pass has room for at least one token, not for \(tokens)")
    func length(_ pass: [Int]) -> Int { pass.reduce(0) { $0 + Int(lengths[$1]) } }
    var count = (length(samples) + tokens - 1) / tokens
    while count < samples.count {
      let passes = partition(samples, lengths: lengths, parts: count)
      if passes.allSatisfy({ $0.count == 1 || length($0) <= tokens }) { return passes }
      count += 1
    }
    return samples.map { [$0] }
  }
}
