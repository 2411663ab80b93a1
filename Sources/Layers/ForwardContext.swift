import Autograd
import Tensors

/// The random numbers of one training forward pass, a pure function of (seed, step, site, sample).
///
/// The rank and the position of a sample in its batch do not enter, so any split of a batch drops the same elements.
package struct DropoutSource: Sendable {
  /// The run's seed.
  package let seed: UInt64
  /// The optimizer step.
  package let step: Int
  /// The dataset index of each sequence in the batch.
  package let samples: [Int]
  /// Replaces every dropout probability of the model's configuration; nil keeps those.
  package let override: Float?

  /// Describes one micro-batch of a step; `samples` are in batch order.
  package init(seed: UInt64, step: Int, samples: [Int], override: Float? = nil) {
    self.seed = seed
    self.step = step
    self.samples = samples
    self.override = override
  }

  /// Two 32-bit key words per sequence for one dropout site.
  func keys(site: Int) -> [UInt32] {
    var stream = RandomStream(seed: seed, purpose: "dropout", UInt64(step), UInt64(site))
    let base = stream.next()
    return samples.flatMap { sample -> [UInt32] in
      let key = RandomStream.mix(base ^ RandomStream.mix(UInt64(truncatingIfNeeded: sample) &+ 0x9e37_79b9_7f4a_7c15))
      return [UInt32(truncatingIfNeeded: key), UInt32(truncatingIfNeeded: key >> 32)]
    }
  }
}

/// What a model needs to know about the current forward pass: the tape, the random numbers, the observer.
package final class ForwardContext {
  /// Records the operations.
  package let tape: Tape
  /// Reads values inside the model; nil without a reader.
  package let observer: (any PassObserver)?
  /// Whether this pass recomputes a block during the backward pass.
  package let isRecomputing: Bool
  private let dropoutSource: DropoutSource?
  private let checkpoints: Range<Int>
  private let sumOverShards: ((Tensor) -> Void)?
  private var site = 0

  /// - Parameters:
  ///   - dropout: nil for inference, which drops nothing.
  ///   - observer: reads values inside the model.
  ///   - checkpoints: the blocks that keep only their input on the tape and are recomputed in the backward pass.
  ///   - sumOverShards: sums a float32 tensor in place over the tensor-parallel shards; nil for unsharded layers.
  ///     Inference only: the sum has no backward pass.
  package init(
    tape: Tape, dropout: DropoutSource? = nil, observer: (any PassObserver)? = nil, checkpoints: Range<Int> = 0..<0,
    sumOverShards: ((Tensor) -> Void)? = nil, isRecomputing: Bool = false
  ) {
    precondition(sumOverShards == nil || !tape.isRecording, "a pass over shards of layers is not recorded")
    self.tape = tape
    self.observer = observer
    self.isRecomputing = isRecomputing
    self.checkpoints = checkpoints
    self.sumOverShards = sumOverShards
    dropoutSource = dropout
  }

  /// Creates a context that records nothing and drops nothing.
  ///
  /// - Parameters:
  ///   - weights: copies that outlive the pass, see `Tape`.
  ///   - observer: reads values inside the model.
  ///   - independentRows: gives a sequence the same bits in every batch.
  ///   - decoding: for passes of one token at a time.
  ///   - tapeObserver: loads and releases the weights of blocks.
  ///   - sumOverShards: see `init`.
  package static func inference(
    precision: Precision = .fp32, weights: BF16Weights = BF16Weights(), observer: (any PassObserver)? = nil,
    independentRows: Bool = false, decoding: Bool = false, tapeObserver: (any TapeObserver)? = nil,
    sumOverShards: ((Tensor) -> Void)? = nil
  ) -> ForwardContext {
    let tape = Tape(
      recording: false, precision: precision, weights: weights, independentRows: independentRows, decoding: decoding,
      observer: tapeObserver)
    return ForwardContext(tape: tape, observer: observer, sumOverShards: sumOverShards)
  }

  /// Runs a block of the model, such as a layer; every read of the block's weights is inside `body`.
  ///
  /// Blocks are numbered as in `Model.blocks`. Sharded weights and recomputed activations are loaded and released at
  /// block boundaries.
  /// - Parameters:
  ///   - x: the only input of the body that receives a gradient.
  ///   - body: the backward pass may run it a second time, so it uses only the context that it receives.
  package func block(
    _ index: Int, _ x: Variable, _ body: @escaping (_ x: Variable, _ context: ForwardContext) -> Variable
  ) -> Variable {
    tape.block(index) {
      guard tape.isRecording, checkpoints.contains(index) else { return body(x, self) }
      let (dropout, first, observer) = (dropoutSource, site, observer)
      return tape.checkpoint(x) {
        body($0, self)
      } recompute: { tape, x in
        // The recomputed block uses the same dropout sites.
        let context = ForwardContext(tape: tape, dropout: dropout, observer: observer, isRecomputing: true)
        context.site = first
        return body(x, context)
      }
    }
  }

  /// Runs a block that reads no variable: the embeddings.
  package func block(_ index: Int, _ body: () -> Variable) -> Variable { tape.block(index, body) }

  /// How much the observer reads of the value at a point.
  package func reading(of point: PassPoint) -> Reading { observer?.reading(of: point) ?? .nothing }

  /// Passes the value at a point to the observer if it reads that point; called inside the block that computes the
  /// value.
  package func observe(_ point: PassPoint, _ x: Variable) {
    guard let observer, observer.reading(of: point) != .nothing else { return }
    observer.observe(point, x, self)
  }

  /// The sum of x over the tensor-parallel shards; x itself in an unsharded pass.
  ///
  /// Every row-parallel product needs it: the output projection of attention and the down projection of the
  /// feed-forward layer. With `hasSlices` the product must be in float32; the reader of the sum rounds it.
  package func summed(_ x: Variable) -> Variable {
    // In place, since only this call reads the product and an unrecorded pass keeps no values.
    sumOverShards?(x.value)
    return x
  }

  /// Whether each layer is split into tensor-parallel shards.
  package var hasSlices: Bool { sumOverShards != nil }

  /// The probability and keys of the next dropout site, or nil if nothing is dropped there.
  ///
  /// Each call takes the next site number, whether or not anything is dropped.
  package func nextDropout(_ configured: Float) -> (probability: Float, keys: [UInt32])? {
    site += 1
    guard let dropoutSource else { return nil }
    let probability = dropoutSource.override ?? configured
    return probability > 0 ? (probability, dropoutSource.keys(site: site)) : nil
  }

  /// The mask of the next dropout site, or nil if nothing is dropped there.
  package func nextMask(_ configured: Float, offsets: [Int32]) -> DropoutMask? {
    nextDropout(configured).map { DropoutMask(offsets: offsets, keys: $0.keys, probability: $0.probability) }
  }

  /// Dropout on x [T, C] with the configured probability of this site.
  package func dropout(_ x: Variable, probability: Float, offsets: [Int32]) -> Variable {
    nextMask(probability, offsets: offsets).map { tape.dropout(x, $0) } ?? x
  }
}
