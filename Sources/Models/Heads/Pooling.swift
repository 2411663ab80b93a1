import Autograd
import Datasets
import Foundation
import Layers
import Platform

/// How an encoder's states become the vector of a sequence; it has no weights.
///
///     vector = mean over tokens of x, or x of the first token; divided by its length if it is normalised
///
/// A model's configuration has it under a key of Retort's own, which a sentence-transformers directory's files take the
/// place of:
///
///     "retort_pooling": {"mode": "mean", "normalize": true, "max_length": 256}
package struct Pooling: Sendable, Equatable {
  /// The key in config.json.
  package static let key = "retort_pooling"

  /// Mean or first token.
  package var mode = PoolingMode.mean
  /// Whether vectors have length 1.
  package var normalizes = true
  /// The most tokens of a sequence; nil: as many as the model has positions.
  package var maxLength: Int?

  /// Mean pooling, normalised.
  package init() {}

  /// The pooling that a configuration names; nil if it names none. Throws `.input` for one that is not built.
  init?(_ configuration: ModelConfiguration) throws {
    guard let json = configuration.json[Pooling.key], !json.isNull else { return nil }
    guard let mode = json["mode"]?.string.flatMap(PoolingMode.init(rawValue:)) else {
      throw RetortError(
        .input, "\(Pooling.key).mode is \(json["mode"]?.text() ?? "missing"), mean or cls was expected",
        at: configuration.source)
    }
    self.mode = mode
    normalizes = json["normalize"]?.bool ?? true
    maxLength = json["max_length"]?.int.flatMap { $0 > 0 ? $0 : nil }
  }

  /// The value of the key.
  package var json: JSON {
    var members: [String: JSON] = ["mode": .string(mode.rawValue), "normalize": .bool(normalizes)]
    members["max_length"] = maxLength.map(JSON.int)
    return .object(members)
  }

  /// The vectors [B, hidden], float32, of the states after the layers: of all tokens, or of first tokens for `cls`.
  func vectors(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    let tape = context.tape
    let states = tape.converted(x, to: .float32)
    let isWhole = mode == .mean || states.value.rows != batch.count
    let pooled =
      mode == .mean
      ? tape.meanOfRows(states, offsets: batch.offsets)
      : isWhole ? tape.selectRows(states, Array(batch.offsets.dropLast())) : states
    let vectors = normalizes ? tape.unitRows(pooled) : pooled
    context.observe(.pooled, vectors)
    return vectors
  }
}

extension ModelConfiguration {
  /// The pooling of an embedder; nil if the configuration names none, or one that cannot be read.
  package var pooling: Pooling? { head == .pooler ? try? Pooling(self) : nil }

  /// The same configuration with a pooling.
  package func with(pooling: Pooling) -> ModelConfiguration { setting([Pooling.key: pooling.json]) }
}
