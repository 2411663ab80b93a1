import Tensors

/// Initial distributions of weights; the stream is keyed by (seed, name), so ranks and order do not matter.
package enum Initializer {
  /// Fills with N(0, deviation²).
  package static func normal(_ tensor: Tensor, deviation: Float, seed: UInt64, name: String) {
    var stream = RandomStream(seed: seed, purpose: "init." + name)
    stream.normals(deviation: deviation, into: UnsafeMutableBufferPointer(start: tensor.floats, count: tensor.count))
  }

  /// Fills uniformly in ±bound.
  package static func uniform(_ tensor: Tensor, bound: Float, seed: UInt64, name: String) {
    var stream = RandomStream(seed: seed, purpose: "init." + name)
    let values = tensor.floats
    for index in 0..<tensor.count { values[index] = bound * (2 * stream.uniform() - 1) }
  }
}
