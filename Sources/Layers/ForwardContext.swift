import Autograd
import Tensors

/// The randomness of one training forward pass, as a pure function of (seed, step, site, sample).
///
/// The rank and the place of a sample in its batch do not enter, so any split of a batch drops the same elements.
public struct DropoutSource: Sendable {
  /// The run's seed.
  public let seed: UInt64
  /// The optimizer step.
  public let step: Int
  /// The data set index of each sequence in the batch.
  public let samples: [Int]
  /// A probability that replaces every one of the model's configuration; nil keeps them.
  public let override: Float?

  /// The randomness of one micro-batch of a step; `samples` are in the order of the batch.
  public init(seed: UInt64, step: Int, samples: [Int], override: Float? = nil) {
    self.seed = seed
    self.step = step
    self.samples = samples
    self.override = override
  }

  /// Two 32-bit words for each sequence at one place of the model.
  func keys(site: Int) -> [UInt32] {
    var stream = RandomStream(seed: seed, purpose: "dropout", UInt64(step), UInt64(site))
    let base = stream.next()
    return samples.flatMap { sample -> [UInt32] in
      let key = RandomStream.mix(base ^ RandomStream.mix(UInt64(truncatingIfNeeded: sample) &+ 0x9e37_79b9_7f4a_7c15))
      return [UInt32(truncatingIfNeeded: key), UInt32(truncatingIfNeeded: key >> 32)]
    }
  }
}

/// What a model needs to know of the pass it is part of: the tape, the randomness, the observer.
public final class ForwardContext {
  /// Where operations are recorded.
  public let tape: Tape
  /// Reads values inside the model; nil where nothing reads them.
  public let observer: (any PassObserver)?
  /// Whether this is the second run of a block, in the backward pass.
  public let isRecomputing: Bool
  private let dropoutSource: DropoutSource?
  private let checkpoints: Range<Int>
  private let sumOverSlices: ((Tensor) -> Void)?
  private var site = 0

  /// - Parameters:
  ///   - dropout: nil in inference: nothing is dropped then.
  ///   - observer: reads values inside the model.
  ///   - checkpoints: the blocks of which the tape keeps the input alone, and which the backward pass runs again.
  ///   - sumOverSlices: adds up a float32 tensor, in place, over the ranks that have a slice of each layer; nil where
  ///     layers are whole. For inference: its sums have no backward pass.
  public init(
    tape: Tape, dropout: DropoutSource? = nil, observer: (any PassObserver)? = nil, checkpoints: Range<Int> = 0..<0,
    sumOverSlices: ((Tensor) -> Void)? = nil, isRecomputing: Bool = false
  ) {
    precondition(sumOverSlices == nil || !tape.isRecording, "a pass over slices of layers is not recorded")
    self.tape = tape
    self.observer = observer
    self.isRecomputing = isRecomputing
    self.checkpoints = checkpoints
    self.sumOverSlices = sumOverSlices
    dropoutSource = dropout
  }

  /// A pass that records nothing and drops nothing.
  ///
  /// - Parameters:
  ///   - weights: copies that outlive the pass, see `Tape`.
  ///   - observer: reads values inside the model.
  ///   - independentRows: gives a sequence the same bits in every batch.
  ///   - decoding: for passes of a token at a time.
  ///   - tapeObserver: loads the weights of blocks and releases them.
  ///   - sumOverSlices: see `init`.
  public static func inference(
    precision: Precision = .fp32, weights: BF16Weights = BF16Weights(), observer: (any PassObserver)? = nil,
    independentRows: Bool = false, decoding: Bool = false, tapeObserver: (any TapeObserver)? = nil,
    sumOverSlices: ((Tensor) -> Void)? = nil
  ) -> ForwardContext {
    let tape = Tape(
      recording: false, precision: precision, weights: weights, independentRows: independentRows, decoding: decoding,
      observer: tapeObserver)
    return ForwardContext(tape: tape, observer: observer, sumOverSlices: sumOverSlices)
  }

  /// A block of the model, such as a layer: all that reads the block's weights is inside `body`.
  ///
  /// Blocks are numbered as `Model.blocks` has them. What a rank does not have all the time (weights of other ranks,
  /// activations that are computed again) comes and goes at the borders of blocks.
  /// - Parameters:
  ///   - x: the only input of the body through which a gradient flows.
  ///   - body: may be run again in the backward pass, and so asks the context that it is given and no other.
  public func block(
    _ index: Int, _ x: Variable, _ body: @escaping (_ x: Variable, _ context: ForwardContext) -> Variable
  ) -> Variable {
    tape.block(index) {
      guard tape.isRecording, checkpoints.contains(index) else { return body(x, self) }
      let (dropout, first, observer) = (dropoutSource, site, observer)
      return tape.checkpoint(x) {
        body($0, self)
      } recompute: { tape, x in
        // The same places of dropout.
        let context = ForwardContext(tape: tape, dropout: dropout, observer: observer, isRecomputing: true)
        context.site = first
        return body(x, context)
      }
    }
  }

  /// A block that reads no variable: the embeddings.
  public func block(_ index: Int, _ body: () -> Variable) -> Variable { tape.block(index, body) }

  /// How much of the value at a point the observer reads.
  public func reading(of point: PassPoint) -> Reading { observer?.reading(of: point) ?? .nothing }

  /// Shows the observer the value at a point, if it reads it; inside the block that makes the value.
  public func observe(_ point: PassPoint, _ x: Variable) {
    guard let observer, observer.reading(of: point) != .nothing else { return }
    observer.observe(point, x, self)
  }

  /// The sum of a product's parts where several ranks have a slice of a layer each; x itself where one has all.
  ///
  /// Wanted behind every product whose inputs are split: attention's output and the second half of a feed-forward part.
  /// Such a product is asked for its float32 sums where `hasSlices`; rounding them is up to whoever reads them.
  public func summed(_ x: Variable) -> Variable {
    // The product is nobody else's, and a pass that is not recorded keeps no value.
    sumOverSlices?(x.value)
    return x
  }

  /// Whether several ranks have a slice of each layer.
  public var hasSlices: Bool { sumOverSlices != nil }

  /// The next dropout place: its probability and keys, or nil when nothing is dropped there.
  ///
  /// Places are numbered in the order in which the model asks, also when nothing is dropped.
  public func nextDropout(_ configured: Float) -> (probability: Float, keys: [UInt32])? {
    site += 1
    guard let dropoutSource else { return nil }
    let probability = dropoutSource.override ?? configured
    return probability > 0 ? (probability, dropoutSource.keys(site: site)) : nil
  }

  /// The mask of the next dropout place, or nil when nothing is dropped there.
  public func nextMask(_ configured: Float, offsets: [Int32]) -> DropoutMask? {
    nextDropout(configured).map { DropoutMask(offsets: offsets, keys: $0.keys, probability: $0.probability) }
  }

  /// Dropout on x [T, C] with the probability that the configuration gives for this place.
  public func dropout(_ x: Variable, probability: Float, offsets: [Int32]) -> Variable {
    nextMask(probability, offsets: offsets).map { tape.dropout(x, $0) } ?? x
  }
}
