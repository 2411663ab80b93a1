import Foundation
import Tensors

/// Chooses the next token from the logits, in the order of `transformers`: temperature, top-k, top-p, sampling.
package struct Sampling: Sendable, Equatable {
  /// Divides the logits; 0 selects the most likely token without sampling.
  package var temperature: Double
  /// The number of most likely tokens to keep; nil for all.
  package var topK: Int?
  /// Keeps the most likely of these tokens until their probabilities sum to this share, at least one; 1 for all.
  package var topP: Double
  /// Determines the samples, together with the token's position.
  package var seed: UInt64

  /// Selects the most likely token.
  package static let greedy = Sampling(temperature: 0)

  /// Sampling with these limits.
  package init(temperature: Double = 1, topK: Int? = nil, topP: Double = 1, seed: UInt64 = 0) {
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    self.seed = seed
  }

  /// The token for a position in the sequence: a pure function of logits, position and seed.
  ///
  /// Of equal logits the lower id comes first.
  package func token(_ logits: [Float], place: Int) -> Int32 {
    guard temperature > 0 else {
      return Int32(logits.indices.max { (logits[$0], $1) < (logits[$1], $0) } ?? 0)
    }
    let candidates = kept(logits)
    var stream = RandomStream(seed: seed, purpose: "generate", UInt64(place))
    let total = candidates.reduce(0) { $0 + $1.weight }
    var rest = Double(stream.next() >> 11) * 0x1p-53 * total
    for candidate in candidates {
      rest -= candidate.weight
      if rest < 0 { return candidate.token }
    }
    return candidates.last?.token ?? 0
  }

  /// A token and exp((logit − largest logit) / temperature).
  typealias Candidate = (token: Int32, weight: Double)

  /// The candidates for sampling; sorted, the most likely first, if top-k or top-p limits them.
  func kept(_ logits: [Float]) -> [Candidate] {
    let largest = Double(logits.max() ?? 0)
    var candidates = largestIndices(of: logits).map { index in
      (token: Int32(index), weight: exp((Double(logits[index]) - largest) / temperature))
    }
    guard topP < 1 else { return candidates }
    let total = candidates.reduce(0) { $0 + $1.weight }
    // All tokens below this weight together have less than the dropped share, so they need no sorting.
    let least = (1 - topP) * total / Double(candidates.count)
    candidates = Sampling.sorted(candidates.filter { $0.weight >= least })
    var sum = 0.0
    let end = candidates.firstIndex { candidate in
      sum += candidate.weight
      return sum >= topP * total
    }
    return Array(candidates[...(end ?? candidates.count - 1)])
  }

  private static func sorted(_ candidates: [Candidate]) -> [Candidate] {
    candidates.sorted { ($1.weight, $0.token) < ($0.weight, $1.token) }
  }

  /// The indices of the k largest logits, the largest first, or all indices in order without a top-k.
  private func largestIndices(of logits: [Float]) -> [Int] {
    guard let topK, topK < logits.count else { return Array(logits.indices) }
    var best: [Int] = []
    for (index, logit) in logits.enumerated() {
      if best.count == topK, logit <= logits[best[topK - 1]] { continue }
      // The first position with a lower logit: equal logits stay before it, since their ids are lower.
      var (low, high) = (0, best.count)
      while low < high {
        let middle = (low + high) / 2
        if logits[best[middle]] < logit { high = middle } else { low = middle + 1 }
      }
      best.insert(index, at: low)
      if best.count > topK { best.removeLast() }
    }
    return best
  }
}
