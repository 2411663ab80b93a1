extension EncoderClassifier {
  /// FLOPs of a forward pass over T tokens in B sequences of lengths S, with hidden size H, feed-forward size I, L
  /// layers and C classes:
  ///
  ///     L · (T·6·H² + 4·H·Σ S²)                 Q, K and V projections; scores and weighted sums of values
  ///       + ((L − 1)·T + B)·(2·H² + 4·H·I)       output projection and feed-forward; the last layer computes
  ///                                              first tokens only
  ///       + B·(2·H² + 2·H·C)                     the head's two layers
  ///       + T·2·P·H                              the projection of embeddings of size P
  package func forwardFLOPs(lengths: [Int]) -> Double {
    let (hidden, inner) = (Double(configuration.hiddenSize), Double(configuration.intermediateSize))
    let tokens = Double(lengths.reduce(0, +))
    let squares = lengths.reduce(0.0) { $0 + Double($1) * Double($1) }
    let (layers, sequences) = (Double(configuration.layerCount), Double(lengths.count))
    let attention = layers * (tokens * 6 * hidden * hidden + 4 * hidden * squares)
    let rows = max(0, layers - 1) * tokens + min(1, layers) * sequences
    let rest = rows * (2 * hidden * hidden + 4 * hidden * inner)
    let head = 2 * hidden * hidden + 2 * hidden * Double(configuration.classCount)
    let projection = 2 * Double(configuration.embedding.size ?? 0) * hidden
    return attention + rest + sequences * head + tokens * projection
  }
}
