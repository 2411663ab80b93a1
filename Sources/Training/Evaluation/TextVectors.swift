import Datasets
import Tensors

/// The vectors of texts, from those of their sequences.
///
///     v = Σ n_w v_w / Σ n_w    over the windows w of a text with n_w tokens; divided by its length if normalised
package enum TextVectors {
  /// The vector of each text of a batch, in the order of `Batch.texts`.
  ///
  /// - Parameters:
  ///   - outputs: the vectors of the sequences, [B, D].
  ///   - normalizes: whether the vectors have length 1.
  package static func of(_ outputs: Tensor, _ batch: Batch, normalizes: Bool) -> [[Float]] {
    batch.texts.map { windows in
      if windows.count == 1 { return outputs.rows(windows).array }
      var sum = [Double](repeating: 0, count: outputs.columns)
      var tokens = 0.0
      for window in windows {
        let weight = Double(batch.offsets[window + 1] - batch.offsets[window])
        let values = outputs.floats + window * outputs.columns
        for column in sum.indices { sum[column] += weight * Double(values[column]) }
        tokens += weight
      }
      let mean = sum.map { $0 / tokens }
      let length = mean.reduce(0) { $0 + $1 * $1 }.squareRoot()
      return mean.map { Float(normalizes && length > 0 ? $0 / length : $0) }
    }
  }

  /// The cosine of two vectors; 0 if one has no length.
  package static func cosine(_ a: [Float], _ b: [Float]) -> Double {
    func dot(_ x: [Float], _ y: [Float]) -> Double { zip(x, y).reduce(0) { $0 + Double($1.0) * Double($1.1) } }
    let scale = (dot(a, a) * dot(b, b)).squareRoot()
    return scale == 0 ? 0 : dot(a, b) / scale
  }
}
