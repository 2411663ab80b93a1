extension DecoderConfiguration {
  /// FLOPs of a forward pass over T tokens in sequences of lengths S, with hidden size h, H query and K key/value heads
  /// of size D, I inner units and a vocabulary of V tokens:
  ///
  ///     L · (T·2·h·(H + 2K)·D                Q, K and V projections
  ///       + Σ 4·H·D·pairs(S)                 scores and weighted sums of values, over the pairs that attend
  ///       + T·2·H·D·h + T·6·h·I)             output projection, feed-forward: 4·h·I without a gate
  ///       + T·2·h·V                          the head, for every token; of C classes 2·h·C for every sequence
  ///
  /// Without a window pairs(S) is S·(S + 1)/2. A part counts its own layers, heads, units and tokens.
  func forwardFLOPs(lengths: [Int], _ part: ModelPart, _ share: DecoderShare) -> Double {
    let (hidden, tokens) = (Double(hiddenSize), Double(lengths.reduce(0, +)))
    let queries = Double(share.heads.count * headSize)
    let keys = Double(share.keyValueHeads.count * headSize)
    let inner = (isGated ? 6 : 4) * hidden * Double(share.inner.count)
    let products = tokens * (2 * hidden * (queries + 2 * keys) + 2 * queries * hidden + inner)
    let own = part.layers(of: layerCount)
    var attention = 0.0
    for (window, layers) in Dictionary(grouping: layers[own], by: \.window) {
      attention += Double(layers.count) * lengths.reduce(0.0) { $0 + pairs(length: $1, window: window) }
    }
    let outputs = classes.map { Double(lengths.count * $0) } ?? tokens * Double(share.vocabulary.count)
    let head = part.hasHead ? 2 * hidden * outputs : 0
    return Double(own.count) * products + 4 * queries * attention + head
  }

  /// The number of pairs of a token and an earlier token, or itself, within the window.
  private func pairs(length: Int, window: Int?) -> Double {
    let width = Double(min(length, window ?? length))
    return width * (width + 1) / 2 + (Double(length) - width) * width
  }

  /// FLOPs of a forward pass of the whole model.
  package func forwardFLOPs(lengths: [Int]) -> Double {
    forwardFLOPs(lengths: lengths, .whole, DecoderShare(whole: self))
  }
}
