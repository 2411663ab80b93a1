extension EncoderClassifier {
  /// See `EncoderConfiguration.forwardFLOPs`.
  package func forwardFLOPs(lengths: [Int]) -> Double { configuration.forwardFLOPs(lengths: lengths) }
}

extension EncoderConfiguration {
  /// FLOPs of a forward pass over T tokens in B sequences of lengths S, with hidden size H, feed-forward size I, M
  /// matrices of that size (2, or 3 with a gate), L layers and C classes:
  ///
  ///     T·6·H² + 4·H·Σ K                       of each layer: Q, K and V projections; scores and weighted sums of
  ///                                            values over the K query-key pairs, S² without a window
  ///       + T·(2·H² + 2·M·H·I)                 output projection and feed-forward; if the head reads first tokens
  ///                                            only, B instead of T in the last layer
  ///     + R·(2·H² + 2·H·C)                     the head's layers for its R rows: B, or of a head on tokens T; the
  ///                                            first only where the head has it
  ///     + T·2·P·H                              the projection of embeddings of size P
  package func forwardFLOPs(lengths: [Int]) -> Double {
    let (hidden, inner) = (Double(hiddenSize), Double(intermediateSize))
    let tokens = Double(lengths.reduce(0, +))
    let sequences = Double(lengths.count)
    let attention = (0..<layerCount).reduce(0.0) { sum, layer in
      let reach = body.attention(layer).reach
      let pairs = lengths.reduce(0.0) { $0 + EncoderConfiguration.pairs(of: $1, reach: reach) }
      return sum + tokens * 6 * hidden * hidden + 4 * hidden * pairs
    }
    let isWhole = !readsFirstTokens
    let layers = Double(layerCount)
    let computed = isWhole ? layers * tokens : max(0, layers - 1) * tokens + min(1, layers) * sequences
    let rest = computed * (2 * hidden * hidden + 2 * Double(1 + innerFactor) * hidden * inner)
    let projection = 2 * Double(embedding.size ?? 0) * hidden
    return attention + rest + headFLOPs(rows: readsSequences ? lengths.count : Int(tokens)) + tokens * projection
  }

  /// FLOPs of the head's layers for `rows` rows, a part of `forwardFLOPs`.
  package func headFLOPs(rows: Int) -> Double {
    if pooling != nil { return 0 }
    let hidden = Double(hiddenSize)
    return Double(rows) * ((hasHeadDense ? 2 * hidden * hidden : 0) + 2 * hidden * Double(classCount))
  }

  /// The pairs (i, j) of S tokens with |i − j| ≤ reach: S·(2r + 1) − r·(r + 1) for r < S.
  private static func pairs(of length: Int, reach: Int?) -> Double {
    let (tokens, reach) = (Double(length), Double(min(reach ?? length, max(0, length - 1))))
    return tokens * (2 * reach + 1) - reach * (reach + 1)
  }
}
