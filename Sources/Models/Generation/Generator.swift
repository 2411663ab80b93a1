import Autograd
import Layers
import Platform
import Tensors

/// Why a generation ended.
package enum GenerationEnd: Sendable, Equatable {
  /// The model returned a token that ends the text.
  case stopToken(Int32)
  /// The requested number of tokens is reached.
  case limit
  /// The model has no positions for more.
  case context
}

/// The result of a generation.
package struct GenerationResult: Sendable {
  /// The new tokens, without a stop token.
  package var tokens: [Int32] = []
  /// Why the generation ended.
  package var end = GenerationEnd.limit
  /// Seconds for the prompt, and for all passes of one token after it.
  package var seconds = (prompt: 0.0, decoding: 0.0)
  /// Passes of one token.
  package var steps = 0
}

/// Continues a sequence with a language model: the prompt in one pass, then one token at a time with the KV cache of
/// the earlier tokens.
package final class Generator {
  private let model: any LanguageModel
  private let contextLength: Int
  private let precision: Precision
  private let weights = BF16Weights()

  /// - Parameters:
  ///   - model: a whole model; its weights do not change during the generation.
  ///   - contextLength: the most tokens of a sequence.
  package init(_ model: any LanguageModel, contextLength: Int, precision: Precision) {
    self.model = model
    self.contextLength = contextLength
    self.precision = precision
  }

  /// The tokens that follow a prompt, the same for the same seed.
  ///
  /// - Parameters:
  ///   - prompt: at least one token.
  ///   - limit: the most new tokens.
  ///   - stops: tokens that end the text.
  ///   - visit: called with each new token as soon as it is known.
  /// Throws the errors of `check` and `visit`, and `.numerical` for logits that are not finite.
  package func generate(
    after prompt: [Int32], limit: Int, stops: Set<Int32>, _ sampling: Sampling, visit: (Int32) throws -> Void = { _ in }
  ) throws -> GenerationResult {
    try check(prompt)
    var result = GenerationResult()
    if limit <= 0 { return result }
    let caches = model.newCaches(capacity: prompt.count + min(contextLength - prompt.count, limit))
    let clock = ContinuousClock()
    var pending = prompt
    while true {
      var logits: [Float] = []
      let seconds = clock.measure { logits = self.logits(of: pending, after: caches) }.seconds
      if pending.count == prompt.count, result.tokens.isEmpty {
        result.seconds.prompt = seconds
      } else {
        result.seconds.decoding += seconds
        result.steps += 1
      }
      let place = prompt.count + result.tokens.count
      guard logits.allSatisfy(\.isFinite) else {
        throw RetortError(
          .numerical, "the logits after token \(place) are not all finite",
          remedy: "check the weights for NaN and for values out of range, or compute with --precision fp32")
      }
      let token = sampling.token(logits, place: place)
      if stops.contains(token) {
        result.end = .stopToken(token)
        return result
      }
      result.tokens.append(token)
      try visit(token)
      if result.tokens.count == limit { return result }
      if prompt.count + result.tokens.count >= contextLength {
        result.end = .context
        return result
      }
      pending = [token]
    }
  }

  /// Throws `.input` for a prompt that is empty, longer than the context, or outside the model's vocabulary.
  package func check(_ prompt: [Int32]) throws {
    if prompt.isEmpty {
      throw RetortError(.input, "the prompt has no tokens to continue", remedy: "give at least one token")
    }
    if prompt.count > contextLength {
      throw RetortError(
        .input, "the prompt has \(prompt.count) tokens, but the model's context is \(contextLength)",
        remedy: "shorten the prompt")
    }
    if let outside = prompt.first(where: { !(0..<Int32(clamping: model.classCount)).contains($0) }) {
      throw RetortError(
        .input, "token \(outside) of the prompt is outside the model's vocabulary of \(model.classCount)",
        remedy: "use ids from 0 to \(model.classCount - 1), or text with the tokenizer that belongs to the model")
    }
  }

  /// The logits after the last of the tokens.
  private func logits(of tokens: [Int32], after cache: [KVCache]) -> [Float] {
    let context = ForwardContext.inference(precision: precision, weights: weights, decoding: true)
    let states = model.states(of: tokens, after: cache, context)
    let last = tokens.count == 1 ? states : context.tape.selectRows(states, [Int32(tokens.count - 1)])
    return model.headLogits(last, context).value.array
  }
}
