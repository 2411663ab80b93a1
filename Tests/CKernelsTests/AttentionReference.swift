import CKernels
import Foundation

/// Attention of one batch in double, with the masks of dropout: the reference for a kernel call.
struct AttentionCase: CustomStringConvertible {
  var lengths: [Int]
  var heads = 1
  var keyHeads = 1
  var size = 4
  var causal = false
  var reach: Int?
  /// Whether scores have a bias by distance.
  var isBiased = false
  var dropout: Float = 0
  /// Elements between two tokens of q, k, v beyond what they need.
  var gap = 0

  var tokens: Int { lengths.reduce(0, +) }
  var offsets: [Int32] { lengths.reduce(into: [0]) { $0.append($0.last! + Int32($1)) } }
  var keys: [UInt32] { (0..<2 * UInt32(lengths.count)).map { $0 &* 0x1234_5677 &+ 9 } }
  var qStride: Int { heads * size + gap }
  var kStride: Int { keyHeads * size + 2 * gap }
  var vStride: Int { keyHeads * size + 3 * gap }
  var outStride: Int { heads * size + gap }
  var scale: Double { 1 / Double(size).squareRoot() }
  /// Pairs of a sequence and a key/value head; a kernel call computes a range of them.
  var pairs: Int { lengths.count * keyHeads }
  var probabilityCount: Int { lengths.reduce(0) { $0 + heads * $1 * $1 } }

  var description: String {
    "lengths \(lengths), heads \(heads)/\(keyHeads), size \(size), causal \(causal), reach \(reach ?? -1), "
      + "dropout \(dropout)"
  }

  /// Windows of all kinds: narrower and wider than a vector, at the edge of the sequence, over many blocks
  /// of queries.
  static let windowed = [
    AttentionCase(lengths: [1, 2, 33], heads: 2, keyHeads: 1, size: 8, reach: 1),
    AttentionCase(lengths: [3, 40], heads: 2, keyHeads: 2, size: 16, causal: true, reach: 3, gap: 5),
    AttentionCase(lengths: [70, 0, 71, 8, 9], heads: 2, keyHeads: 2, size: 7, reach: 8),
    AttentionCase(lengths: [61], heads: 2, keyHeads: 1, size: 10, reach: 59),
    AttentionCase(lengths: [61], heads: 2, keyHeads: 1, size: 10, causal: true, reach: 59, dropout: 0.3),
    AttentionCase(lengths: [301, 130], heads: 2, keyHeads: 1, size: 5, reach: 64, dropout: 0.1, gap: 1),
    AttentionCase(lengths: [300, 65], heads: 2, keyHeads: 2, size: 4, causal: true, reach: 64),
    AttentionCase(lengths: [333], heads: 2, keyHeads: 1, size: 3, causal: true, reach: 200),
  ]

  var longest: Int { lengths.max() ?? 0 }
  var biasRow: Int { 2 * longest + 15 }
  /// [H, biasRow], zeros past the last distance.
  var bias: [Float] {
    var numbers = Numbers(77)
    let values = numbers.floats(heads * biasRow)
    return values.indices.map { $0 % biasRow < 2 * longest - 1 ? values[$0] : 0 }
  }

  /// Calls the body with the shape struct, whose pointers live as long as the call.
  func withShape<R>(
    gradients: UnsafeMutablePointer<Float>? = nil, _ body: (UnsafePointer<rtk_attention_shape>) -> R
  ) -> R {
    (isBiased ? bias : []).withUnsafeBufferPointer { bias in
      withShape(bias: isBiased ? bias.baseAddress : nil, gradients, body)
    }
  }

  private func withShape<R>(
    bias: UnsafePointer<Float>?, _ gradients: UnsafeMutablePointer<Float>?,
    _ body: (UnsafePointer<rtk_attention_shape>) -> R
  ) -> R {
    offsets.withUnsafeBufferPointer { offsets in
      keys.withUnsafeBufferPointer { keys in
        var shape = rtk_attention_shape(
          offsets: offsets.baseAddress, B: lengths.count, H: heads, H_kv: keyHeads, D: size, q_stride: qStride,
          k_stride: kStride, v_stride: vStride, out_stride: outStride, scale: Float(scale), causal: causal,
          reach: reach ?? .max, bias: bias, bias_gradients: gradients, bias_row: biasRow, bias_center: longest - 1,
          dropout: dropout, keys: dropout > 0 ? keys.baseAddress : nil)
        return body(&shape)
      }
    }
  }

  /// Biases with all other options.
  static let biased = [
    AttentionCase(lengths: [1, 3, 0, 17], heads: 2, keyHeads: 2, size: 16, isBiased: true, gap: 5),
    AttentionCase(lengths: [5, 40], heads: 4, keyHeads: 2, size: 7, isBiased: true, dropout: 0.2),
    AttentionCase(lengths: [300], heads: 2, keyHeads: 1, size: 4, isBiased: true),
    AttentionCase(lengths: [100, 33], heads: 2, keyHeads: 2, size: 5, causal: true, reach: 20, isBiased: true),
  ]

  /// Calls the body for each sequence and head with the sequence's number, first token and length, the head, its
  /// key/value head, and the index at which its probabilities begin.
  func forEachHead(_ body: (_ b: Int, _ start: Int, _ length: Int, _ h: Int, _ g: Int, _ first: Int) -> Void) {
    var start = 0
    var first = 0
    for (b, length) in lengths.enumerated() {
      for h in 0..<heads {
        body(b, start, length, h, h / (heads / keyHeads), first)
        first += length * length
      }
      start += length
    }
  }

  /// The factor of query i and key j: 0 where dropped.
  func factor(_ b: Int, _ h: Int, _ i: Int, _ j: Int, _ length: Int) -> Double {
    guard dropout > 0 else { return 1 }
    return Double(
      Reference.dropoutFactor(UInt32((h * length + i) * length + j), keys[2 * b], keys[2 * b + 1], p: dropout))
  }

  /// The keys that a query attends to.
  private func seenKeys(_ i: Int, _ length: Int) -> Range<Int> {
    let reach = reach ?? length
    return max(0, i - reach)..<(causal ? i + 1 : min(length, i + reach + 1))
  }

  func forward(_ q: [Double], _ k: [Double], _ v: [Double]) -> (out: [Double], lse: [Double], p: [Double]) {
    var out = [Double](repeating: 0, count: tokens * outStride)
    var lse = [Double](repeating: 0, count: tokens * heads)
    var p = [Double](repeating: 0, count: probabilityCount)
    let bias = isBiased ? bias : []
    forEachHead { b, start, length, h, g, first in
      for i in 0..<length {
        let seen = seenKeys(i, length)
        let query = (start + i) * qStride + h * size
        let scores = seen.map { j in
          var sum = 0.0
          for d in 0..<size { sum += q[query + d] * k[(start + j) * kStride + g * size + d] }
          return sum * scale + (isBiased ? Double(bias[h * biasRow + longest - 1 + j - i]) : 0)
        }
        let largest = scores.max()!
        let logSum = largest + log(scores.reduce(0) { $0 + exp($1 - largest) })
        lse[(start + i) * heads + h] = logSum
        for j in seen {
          let power = exp(scores[j - seen.lowerBound] - logSum)
          p[first + i * length + j] = power
          let kept = power * factor(b, h, i, j, length)
          for d in 0..<size {
            out[(start + i) * outStride + h * size + d] += kept * v[(start + j) * vStride + g * size + d]
          }
        }
      }
    }
    return (out, lse, p)
  }

  /// The chain rule; finite differences check it on small cases.
  func backward(_ q: [Double], _ k: [Double], _ v: [Double], dout: [Double], dp: [Double]?)
    -> (dq: [Double], dk: [Double], dv: [Double], dbias: [Double])
  {
    var dbias = [Double](repeating: 0, count: lengths.count * heads * biasRow)
    let p = forward(q, k, v).p
    var dq = [Double](repeating: 0, count: q.count)
    var dk = [Double](repeating: 0, count: k.count)
    var dv = [Double](repeating: 0, count: v.count)
    forEachHead { b, start, length, h, g, first in
      for i in 0..<length {
        let query = (start + i) * qStride + h * size
        let row = (start + i) * outStride + h * size
        let factors = (0..<length).map { factor(b, h, i, $0, length) }
        let gradients = (0..<length).map { j in
          var sum = 0.0
          for d in 0..<size { sum += dout[row + d] * v[(start + j) * vStride + g * size + d] }
          return sum * factors[j] + (dp?[first + i * length + j] ?? 0)
        }
        var mean = 0.0
        for j in 0..<length { mean += p[first + i * length + j] * gradients[j] }
        for j in 0..<length {
          let probability = p[first + i * length + j]
          let slope = probability * (gradients[j] - mean)
          let score = scale * slope
          dbias[(b * heads + h) * biasRow + longest - 1 + j - i] += slope
          for d in 0..<size {
            dq[query + d] += score * k[(start + j) * kStride + g * size + d]
            dk[(start + j) * kStride + g * size + d] += score * q[query + d]
            dv[(start + j) * vStride + g * size + d] += probability * factors[j] * dout[row + d]
          }
        }
      }
    }
    return (dq, dk, dv, dbias)
  }
}

/// The inputs of a case and the kernels' results; the gaps between rows hold 0, also after the call.
struct AttentionRun {
  let shape: AttentionCase
  let q, k, v, dout, dp: [Float]

  init(_ shape: AttentionCase, seed: UInt64 = 21) {
    var numbers = Numbers(seed)
    func rows(_ stride: Int, _ used: Int) -> [Float] {
      var x = numbers.floats(shape.tokens * stride)
      for i in x.indices where i % stride >= used { x[i] = 0 }
      return x
    }
    self.shape = shape
    q = rows(shape.qStride, shape.heads * shape.size)
    k = rows(shape.kStride, shape.keyHeads * shape.size)
    v = rows(shape.vStride, shape.keyHeads * shape.size)
    dout = rows(shape.outStride, shape.heads * shape.size)
    dp = numbers.floats(shape.probabilityCount)
  }

  /// With the given inputs.
  init(_ shape: AttentionCase, q: [Float], k: [Float], v: [Float], dout: [Float]) {
    (self.shape, self.q, self.k, self.v, self.dout) = (shape, q, k, v, dout)
    dp = [Float](repeating: 0, count: shape.probabilityCount)
  }

  func forward(probabilities: Bool = true) -> (out: [Float], lse: [Float], p: [Float]) {
    var out = [Float](repeating: 0, count: dout.count)
    var lse = [Float](repeating: .nan, count: shape.tokens * shape.heads)
    var p = [Float](repeating: .nan, count: shape.probabilityCount)
    shape.withShape { shape in
      p.withUnsafeMutableBufferPointer {
        rtk_attention_forward(shape, &out, &lse, probabilities ? $0.baseAddress : nil, q, k, v, 0, self.shape.pairs)
      }
    }
    return (out, lse, p)
  }

  /// The gradients of the bias, which another call than `backward` computes.
  func biasGradients() -> [Float] {
    let lse = forward(probabilities: false).lse
    var (dq, dk, dv) = (q, k, v)
    var dbias = [Float](repeating: 0, count: shape.lengths.count * shape.heads * shape.biasRow)
    dbias.withUnsafeMutableBufferPointer { dbias in
      shape.withShape(gradients: dbias.baseAddress) {
        rtk_attention_backward($0, &dq, &dk, &dv, dout, nil, lse, q, k, v, 0, shape.pairs)
      }
    }
    return dbias
  }

  func backward(probabilities: Bool) -> (dq: [Float], dk: [Float], dv: [Float]) {
    let lse = forward(probabilities: false).lse
    var dq = q.map { _ in Float(0) }
    var dk = k.map { _ in Float(0) }
    var dv = v.map { _ in Float(0) }
    // The kernel overwrites the old content.
    for i in dk.indices where i % shape.kStride < shape.keyHeads * shape.size { dk[i] = .nan }
    for i in dv.indices where i % shape.vStride < shape.keyHeads * shape.size { dv[i] = .nan }
    shape.withShape { shape in
      dp.withUnsafeBufferPointer {
        rtk_attention_backward(
          shape, &dq, &dk, &dv, dout, probabilities ? $0.baseAddress : nil, lse, q, k, v, 0, self.shape.pairs)
      }
    }
    return (dq, dk, dv)
  }
}
