extension BERTClassifier {
  /// With T tokens in B sequences of lengths S, hidden size H, feed-forward size I, L layers and C classes:
  ///
  ///     L · (T·(8·H² + 4·H·I) + 4·H·Σ S²)       projections and feed-forward; scores and their sums of values
  ///       + B·(2·H² + 2·H·C)                     pooler and classifier
  ///       + T·2·P·H                              the layer that widens a word embedding of P, in bert_hash
  public func forwardFLOPs(lengths: [Int]) -> Double {
    let (hidden, inner) = (Double(configuration.hiddenSize), Double(configuration.intermediateSize))
    let tokens = Double(lengths.reduce(0, +))
    let squares = lengths.reduce(0.0) { $0 + Double($1) * Double($1) }
    let layer = tokens * (8 * hidden * hidden + 4 * hidden * inner) + 4 * hidden * squares
    let head = 2 * hidden * hidden + 2 * hidden * Double(configuration.classCount)
    let widening = 2 * Double(configuration.projections ?? 0) * hidden
    return Double(configuration.layerCount) * layer + Double(lengths.count) * head + tokens * widening
  }
}
