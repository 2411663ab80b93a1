import Autograd
import Datasets
import Layers
import Tensors

/// A language model's logits and likelihood for one sequence.
package struct SequenceScore: Sendable {
  /// The logits after its last token, [V].
  package let lastLogits: [Float]
  /// Σ −log p of its tokens after the first, each given those before it.
  package let negativeLogLikelihood: Double
  /// The number of these tokens.
  package let predicted: Int
}

extension LanguageModel {
  /// The likelihood of each sequence of a batch; only some rows of logits are in memory at a time.
  ///
  /// - Parameter weights: copies that outlive the pass, see `Tape`.
  package func scores(_ batch: Batch, precision: Precision = .fp32, weights: BF16Weights = BF16Weights())
    -> [SequenceScore]
  {
    let context = ForwardContext.inference(precision: precision, weights: weights)
    let states = states(batch, context)
    return zip(batch.offsets, batch.offsets.dropFirst()).map { start, end in
      var (sum, last) = (0.0, [Float]())
      for first in stride(from: start, to: end, by: rowsAtATime) {
        let rows = first..<min(end, first + Int32(rowsAtATime))
        let logits = headLogits(context.tape.selectRows(states, Array(rows)), context)
        // The token after the last one of the sequence is unknown.
        let targets = rows.map { $0 + 1 < end ? batch.tokens[Int($0) + 1] : -1 }
        sum += context.tape.crossEntropy(logits, labels: targets, denominator: 1).sum
        if rows.upperBound == end { last = logits.value.rows(rows.count - 1..<rows.count).array }
      }
      return SequenceScore(lastLogits: last, negativeLogLikelihood: sum, predicted: max(0, Int(end - start) - 1))
    }
  }
}

/// The number of rows of logits in memory.
private let rowsAtATime = 256
