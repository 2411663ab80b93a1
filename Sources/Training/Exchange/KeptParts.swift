/// The parts of a student that a rank keeps, as its exchange strategy declares them.
struct KeptParts: Sendable, Equatable {
  /// A part of a flat buffer.
  enum Part: Sendable {
    case whole
    /// This rank's block of every bucket.
    case owned
  }

  /// Where the buffer is cut into buckets.
  enum Cut: Sendable {
    /// A bucket is full at a number of bytes.
    case bySize
    /// A bucket has the weights of one block of the model, whatever its size.
    case byBlock
  }

  /// The weights, those of lookup tables included.
  var weights = Part.whole
  /// Whether whole weights are in memory once a node, where all of its ranks read them.
  var areWeightsShared = true
  /// The gradients, over the passes of a step.
  var gradients = Part.whole
  /// What the rank updates, and so has moments of.
  var updated = Part.owned
  var cut = Cut.bySize
}
