import Foundation
import Tensors

/// How the next token is chosen from the logits, in the order of `transformers`: temperature, top-k, top-p, draw.
public struct Sampling: Sendable, Equatable {
  /// Divides the logits; 0 takes the most likely token without drawing.
  public var temperature: Double
  /// The most likely tokens that are kept; nil for all.
  public var topK: Int?
  /// Of these the most likely ones that together have this share are kept, one at least; 1 for all.
  public var topP: Double
  /// Decides the draws, with the place of the token.
  public var seed: UInt64

  /// The most likely token.
  public static let greedy = Sampling(temperature: 0)

  /// A draw with these limits.
  public init(temperature: Double = 1, topK: Int? = nil, topP: Double = 1, seed: UInt64 = 0) {
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    self.seed = seed
  }

  /// The token for a place in the sequence: a pure function of logits, place and seed.
  ///
  /// Of equal logits the lower id comes first.
  public func token(_ logits: [Float], place: Int) -> Int32 {
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

  /// A token and exp of its tempered logit less the largest one.
  typealias Candidate = (token: Int32, weight: Double)

  /// What may be drawn, most likely first.
  func kept(_ logits: [Float]) -> [Candidate] {
    let largest = Double(logits.max() ?? 0)
    var candidates = largestIndices(of: logits).map { index in
      (token: Int32(index), weight: exp((Double(logits[index]) - largest) / temperature))
    }
    guard topP < 1 else { return candidates }
    let total = candidates.reduce(0) { $0 + $1.weight }
    // Tokens below this together have less than the share that is dropped, so sorting can leave them out.
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

  /// The k largest, most likely first, or all indices where nothing limits them.
  private func largestIndices(of logits: [Float]) -> [Int] {
    guard let topK, topK < logits.count else { return Array(logits.indices) }
    var best: [Int] = []
    for (index, logit) in logits.enumerated() {
      if best.count == topK, logit <= logits[best[topK - 1]] { continue }
      // The first place whose logit is lower: equal ones stay before, since their ids are.
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
