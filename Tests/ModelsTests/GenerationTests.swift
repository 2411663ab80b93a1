import Autograd
import Datasets
import Foundation
import Layers
import Platform
import Tensors
import TestSupport
import Testing

@testable import Models

@Suite(.timeLimit(.minutes(2))) struct GenerationTests {
  private func model(_ changes: [String: JSON] = [:]) throws -> DecoderModel {
    try #require(try ModelLoader.load(tinyDecoder(changes), from: .random, seed: 5).model as? DecoderModel)
  }

  @Test(.enabled(if: Parity.isAvailable, "no reference figures"), arguments: DecoderParityTests.cases)
  func `the greedy continuation of transformers`(directory: String, name: String) throws {
    let expected = try Parity.expected(directory, name)
    let model = try ModelLoader.load(directory: "\(directory)/\(name)").model
    let generator = Generator(try #require(model as? any LanguageModel), contextLength: 64, precision: .fp32)
    let prompt = expected["sequences"]!.array![0].tokens
    var seen: [Int32] = []
    let result = try generator.generate(after: prompt, limit: 12, stops: [], .greedy) { seen.append($0) }
    #expect(result.tokens == expected["greedy_continuation_of_sequence_0"]!.tokens)
    #expect(seen == result.tokens && result.end == .limit && result.steps == 11)
  }

  @Test(arguments: [Precision.fp32, .bf16])
  func `states do not depend on how a sequence is cut into passes`(precision: Precision) throws {
    let model = try model(["hidden_size": 48, "intermediate_size": 32])
    let tokens = (0..<29).map { Int32($0 * 17 % 37) }
    let whole = model.states(packed([tokens]), .inference(precision: precision)).value.converted(to: .float32)
    for cuts in [[29], [1, 28], [13, 1, 1, 14], Array(repeating: 1, count: 29)] {
      let caches = model.newCaches(capacity: 3)
      var start = 0
      for count in cuts {
        let context = ForwardContext.inference(precision: precision, decoding: true)
        let part = model.states(of: Array(tokens[start..<start + count]), after: caches, context).value
        let theirs = whole.rows(start..<start + count).array
        let scale = theirs.map(abs).max()!
        for (a, b) in zip(part.converted(to: .float32).array, theirs) {
          #expect(abs(a - b) < (precision == .fp32 ? 1e-5 : 0.03) * scale, "\(cuts)")
        }
        start += count
      }
      #expect(caches.allSatisfy { $0.count == 29 })
    }
  }

  @Test func `logits that are no numbers are an error, not a text`() throws {
    let model = try model()
    model.parameters.last?.value.floats[0] = .nan
    let generator = Generator(model, contextLength: 32, precision: .fp32)
    for sampling in [.greedy, Sampling(), Sampling(topK: 3, topP: 0.5)] {
      let error = #expect(throws: RetortError.self) {
        try generator.generate(after: [1, 2, 3], limit: 4, stops: [], sampling)
      }
      #expect(error?.kind == .numerical && error?.what.contains("after token 3") == true)
    }
  }

  @Test func `a text ends at a stop token, at the limit or with the context`() throws {
    let generator = Generator(try model(), contextLength: 32, precision: .fp32)
    let all = try generator.generate(after: [1, 2, 3], limit: 1000, stops: [], .greedy)
    #expect(all.end == .context && all.tokens.count == 29)
    let stop = all.tokens[4]
    let early = try generator.generate(after: [1, 2, 3], limit: 1000, stops: [stop], .greedy)
    #expect(early.end == .stopToken(stop) && early.tokens == Array(all.tokens.prefix { $0 != stop }))
    #expect(
      try generator.generate(after: [1, 2, 3], limit: 2, stops: [], .greedy).tokens == Array(all.tokens.prefix(2)))
    for prompt in [[], Array(repeating: 1, count: 33), [37], [-1]] as [[Int32]] {
      #expect(throws: RetortError.self) { try generator.generate(after: prompt, limit: 2, stops: [], .greedy) }
    }
    // The last position still gives a token.
    #expect(
      try generator.generate(after: Array(repeating: 1, count: 32), limit: 9, stops: [], .greedy).tokens.count == 1)
  }

  @Test func `scores are the likelihood of each token after the first`() throws {
    let model = try model()
    let batch = packed([[3, 1, 36, 20, 7], [9], (0..<300).map { Int32($0 % 37) }])
    let logits = model.logits(batch)
    for (score, (start, end)) in zip(model.scores(batch), zip(batch.offsets, batch.offsets.dropFirst())) {
      var expected = 0.0
      for row in Int(start)..<Int(end) - 1 {
        let values = logits.rows(row..<row + 1).array.map(Double.init)
        let sum = values.reduce(0) { $0 + exp($1) }
        expected += log(sum) - values[Int(batch.tokens[row + 1])]
      }
      #expect(abs(score.negativeLogLikelihood - expected) < 1e-4 * max(1, expected))
      #expect(score.predicted == Int(end - start) - 1)
      for (a, b) in zip(score.lastLogits, logits.rows(Int(end) - 1..<Int(end)).array) { #expect(abs(a - b) < 1e-5) }
    }
  }

  @Test func `top-k and top-p keep the most likely, of equals the lower id`() {
    let logits: [Float] = [0, 2, 1, 2, -5]
    func kept(_ sampling: Sampling) -> [Int32] { sampling.kept(logits).map(\.token) }
    #expect(kept(Sampling(topK: 1)) == [1])
    #expect(kept(Sampling(topK: 3)) == [1, 3, 2])
    #expect(Set(kept(Sampling())) == [0, 1, 2, 3, 4])
    // Shares: e² twice, e, 1, e⁻⁵ of 18.50: 0.399, 0.399, 0.147, 0.054, 0.0004.
    #expect(kept(Sampling(topP: 0.39)) == [1])
    #expect(kept(Sampling(topP: 0.41)) == [1, 3])
    #expect(kept(Sampling(topP: 0.81)) == [1, 3, 2])
    #expect(kept(Sampling(topP: 0.9999)) == [1, 3, 2, 0, 4])
    #expect(kept(Sampling(temperature: 0.1, topP: 0.99)) == [1, 3])
    #expect(kept(Sampling(topK: 2, topP: 0.6)) == [1, 3])
    #expect(Sampling.greedy.token(logits, place: 3) == 1)
  }

  @Test func `draws follow the softmax, and depend on seed and place alone`() {
    let logits: [Float] = [0, 1, 2, -1]
    let sampling = Sampling(temperature: 2, seed: 4)
    let draws = (0..<20_000).map { sampling.token(logits, place: $0) }
    #expect(draws == (0..<20_000).map { Sampling(temperature: 2, seed: 4).token(logits, place: $0) })
    #expect(draws != (0..<20_000).map { Sampling(temperature: 2, seed: 5).token(logits, place: $0) })
    let weights = logits.map { exp(Double($0) / 2) }
    for token in 0..<4 {
      let share = weights[token] / weights.reduce(0, +)
      let count = Double(draws.filter { $0 == token }.count)
      let deviation = (20_000 * share * (1 - share)).squareRoot()
      #expect(abs(count - 20_000 * share) < 4.5 * deviation, "\(token)")
    }
  }
}
