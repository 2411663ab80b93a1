import Tensors

#if canImport(Glibc)
  import Glibc
#endif

/// A trained number for each head and bucket of distances between two tokens, which is added to attention scores
/// (Raffel et al., 2020).
package struct RelativeBias {
  /// [buckets, H].
  package let table: Parameter

  /// The bias of a table with an even number of buckets.
  package init(table: Parameter) { self.table = table }

  /// The bucket of a distance, key's position − query's position, of `count` buckets: half of them for later keys; of
  /// each half one half for single distances, the others in equal steps of the logarithm up to distance 128.
  package static func bucket(_ distance: Int, of count: Int) -> Int {
    let half = count / 2
    let side = distance > 0 ? half : 0
    let (far, exact) = (abs(distance), half / 2)
    if far < exact { return side + far }
    // In float32 with the logarithm of transformers, whose borders are not those of exact arithmetic.
    let step = logf(Float(far) / Float(exact)) / Float(log(128.0 / Double(exact))) * Float(half - exact)
    return side + min(half - 1, exact + Int(step))
  }

  /// Places in a row for sequences up to a length: the distances 1 − longest … longest − 1, then zeros.
  struct Row {
    let longest: Int
    /// The place of distance 0.
    var center: Int { longest - 1 }
    /// Kernels read up to a vector past the last distance.
    var count: Int { 2 * longest + 15 }
  }

  /// The bias of each head at each distance, [H, row.count].
  func rows(_ row: Row) -> Tensor {
    let (buckets, heads) = (table.value.rows, table.value.columns)
    let values = Tensor.zeros([heads, row.count])
    for distance in 1 - row.longest..<row.longest {
      let from = table.value.floats + RelativeBias.bucket(distance, of: buckets) * heads
      for head in 0..<heads { values.floats[head * row.count + row.center + distance] = from[head] }
    }
    return values
  }

  /// table's gradient += the sums over sequences of `gradients`, [B, H, row.count].
  func add(_ gradients: Tensor, _ row: Row) {
    guard let gradient = table.gradient else { return }
    let (buckets, heads) = (table.shape.array[0], table.shape.array[1])
    for sequence in 0..<gradients.count / (heads * row.count) {
      for distance in 1 - row.longest..<row.longest {
        let to = gradient.floats + RelativeBias.bucket(distance, of: buckets) * heads
        for head in 0..<heads {
          to[head] += gradients.floats[(sequence * heads + head) * row.count + row.center + distance]
        }
      }
    }
  }
}
