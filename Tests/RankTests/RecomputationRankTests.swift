import Autograd
import Layers
import Models
import Tensors
import TestSupport
import Testing

extension RankTests {
  /// What activation checkpointing keeps; here, since the pool's counters are those of the whole process.
  @Suite(.timeLimit(.minutes(2))) struct RecomputationTests {
    @Test(arguments: [Precision.fp32, .bf16]) func `of each layer little more than its input is kept`(
      precision: Precision
    ) throws {
      let (layers, tokens, hidden) = (12, 512, 128)
      let model = try TinyTask.model(hidden: hidden, layers: layers)
      let data = try TinyTask.data(96)
      model.parameters.forEach { $0.gradient = .zeros($0.shape) }
      let batch = data.batch(Array(0..<96))
      #expect(batch.tokens.count > tokens)
      // The rounded weights are kept either way, and are made by the first pass.
      let weights = BF16Weights()
      func kept(_ checkpoints: Range<Int>) -> Int {
        let tape = Tape(recording: true, precision: precision, weights: weights)
        let context = ForwardContext(tape: tape, checkpoints: checkpoints)
        let before = StoragePool.liveBytes
        let logits = model.forward(batch, context)
        let bytes = StoragePool.liveBytes - before
        _ = tape.crossEntropy(logits, labels: batch.labels, denominator: 1)
        return bytes
      }
      let input = batch.tokens.count * hidden * (precision == .bf16 ? 2 : 4)
      _ = kept(0..<0)
      let (all, least) = (kept(0..<0), kept(model.layerBlocks))
      #expect(least < (layers + 6) * input)
      #expect(all > 4 * least)
    }
  }
}
