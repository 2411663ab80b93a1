import CKernels
import Tensors

/// The options of scaled dot-product attention.
package struct AttentionOptions: Sendable {
  /// Query heads.
  package var heads: Int
  /// Key and value heads; `heads` is a multiple of it.
  package var keyValueHeads: Int
  /// Size of one head.
  package var headSize: Int
  /// Whether a token attends only to itself and to earlier tokens of its sequence.
  package var isCausal: Bool
  /// The distance to the farthest token that a token attends to, at least 0; nil for no window.
  package private(set) var reach: Int?
  /// The factor of q·k; nil: 1/√D.
  package var scale: Float?
  /// Dropout on the probabilities, with two key words per sequence; nil in inference.
  package var dropout: (probability: Float, keys: [UInt32])?

  /// The options of H query heads and `keyValueHeads` (a divisor of H, by default H) key and value heads.
  package init(
    heads: Int, keyValueHeads: Int? = nil, headSize: Int, isCausal: Bool = false, reach: Int? = nil,
    scale: Float? = nil, dropout: (probability: Float, keys: [UInt32])? = nil
  ) {
    self.heads = heads
    self.keyValueHeads = keyValueHeads ?? heads
    self.headSize = headSize
    self.isCausal = isCausal
    self.reach = reach.map { min($0, Int(Int32.max)) }
    self.scale = scale
    self.dropout = dropout
  }
}

extension AttentionOptions {
  /// The factor of q·k.
  var factor: Float { scale ?? 1 / Float(headSize).squareRoot() }
}

extension Tape {
  /// Attention within each packed sequence: out_i = Σ_j softmax_j(q_i·k_j / √D + bias) v_j (Vaswani et al., 2017).
  ///
  /// - Parameters:
  ///   - projected: [T, (H + 2·H_kv)·D], each row a token's queries, then keys, then values; float32 or bf16.
  ///   - offsets: [B+1], the start of each sequence.
  ///   - bias: added to the scores by distance, or nil. It makes bf16 attention run in float32, which is slower.
  /// - Returns: the output [T, H·D] in the format of `projected`.
  /// A sequence's result has the same bits in any batch and with any number of threads. In bf16 the sums and the
  /// softmax are float32, and the gradient of `projected` is bf16.
  package func attention(
    _ projected: Variable, offsets: [Int32], _ options: AttentionOptions, bias: RelativeBias? = nil
  ) -> Variable {
    let tokens = projected.value.rows
    precondition(
      projected.value.columns == (options.heads + 2 * options.keyValueHeads) * options.headSize,
      "attention input \(projected.shape) for \(options.heads)+2×\(options.keyValueHeads) heads of \(options.headSize)")
    precondition(Int(offsets.last ?? 0) == tokens, "offsets end at \(offsets.last ?? 0) of \(tokens) tokens")
    let lse = Tensor(uninitialized: [tokens, options.heads])
    let row = RelativeBias.Row(longest: zip(offsets, offsets.dropFirst()).reduce(1) { max($0, Int($1.1 - $1.0)) })
    let operation = AttentionOperation(
      projected: projected, offsets: offsets, options: options, logSumExp: lse, bias: bias, row: row,
      biasRows: bias?.rows(row))
    return record(operation.forward(), from: [projected], operation)
  }
}

struct AttentionOperation: Operation {
  let projected: Variable
  let offsets: [Int32]
  let options: AttentionOptions
  /// [T, H], set by `forward`.
  let logSumExp: Tensor
  let bias: RelativeBias?
  let row: RelativeBias.Row
  /// The bias in the layout of the kernels.
  let biasRows: Tensor?

  var parameters: [Parameter] { bias.map { [$0.table] } ?? [] }

  private var isRounded: Bool { projected.value.dtype == .bfloat16 }

  /// A matrix with a row per token, in the input's format.
  private func matrix(columns: Int) -> Tensor {
    .matrix(uninitializedRows: projected.value.rows, columns: columns, projected.value.dtype)
  }

  /// Calls `body` with ranges of (sequence, key/value head) pairs, on all threads.
  private func forEachPart(
    biasGradients: Tensor? = nil, _ body: (_ shape: UnsafePointer<rtk_attention_shape>, _ pairs: Range<Int>) -> Void
  ) {
    offsets.withUnsafeBufferPointer { offsets in
      (options.dropout?.keys ?? []).withUnsafeBufferPointer { keys in
        let stride = projected.value.columns
        let shape = rtk_attention_shape(
          offsets: offsets.baseAddress, B: offsets.count - 1, H: options.heads, H_kv: options.keyValueHeads,
          D: options.headSize, q_stride: stride, k_stride: stride, v_stride: stride,
          out_stride: options.heads * options.headSize, scale: options.factor,
          causal: options.isCausal, reach: options.reach ?? .max, bias: biasRows.map { UnsafePointer($0.floats) },
          bias_gradients: biasGradients?.floats, bias_row: row.count, bias_center: row.center,
          dropout: options.dropout?.probability ?? 0,
          keys: options.dropout == nil ? nil : keys.baseAddress)
        withUnsafePointer(to: shape) { shape in
          ThreadTeam.split((offsets.count - 1) * options.keyValueHeads, cost: cost, isUneven: true) { body(shape, $0) }
        }
      }
    }
  }

  /// The cost of the mean pair; eight multiply-adds take about as long as moving one number.
  private var cost: Int {
    let most = options.reach.map { $0 * (options.isCausal ? 1 : 2) + 1 } ?? .max
    let cells = zip(offsets, offsets.dropFirst()).reduce(0) {
      $0 + Int($1.1 - $1.0) * (4 + min(Int($1.1 - $1.0), most) / 4)
    }
    return max(1, cells * options.headSize * options.heads / max(1, (offsets.count - 1) * options.keyValueHeads))
  }

  /// The start of the keys and of the values in a row, after its queries.
  private var firstKey: Int { options.heads * options.headSize }
  private var firstValue: Int { firstKey + options.keyValueHeads * options.headSize }

  func forward() -> Tensor {
    let out = matrix(columns: firstKey)
    let (lse, k, v) = (logSumExp.floats, firstKey, firstValue)
    forEachPart { shape, pairs in
      if isRounded {
        let q = projected.value.bf16Words
        rtk_attention_forward_bf16(
          shape, out.bf16Words, lse, nil, q, q + k, q + v, pairs.lowerBound, pairs.upperBound)
      } else {
        let q = projected.value.floats
        rtk_attention_forward(shape, out.floats, lse, nil, q, q + k, q + v, pairs.lowerBound, pairs.upperBound)
      }
    }
    return out
  }

  // With P = softmax: dV = Pᵀ dO, dP = dO Vᵀ, dS = P ∘ (dP − Σ P∘dP), dQ = dS K / √D, dK = dSᵀ Q / √D.
  func backward(_ dout: Tensor, _ gradients: inout Gradients) {
    let dprojected = matrix(columns: projected.value.columns)
    let (lse, k, v) = (logSumExp.floats, firstKey, firstValue)
    let own = bias?.table.isTrained == true ? Tensor.zeros([offsets.count - 1, options.heads, row.count]) : nil
    forEachPart(biasGradients: own) { shape, pairs in
      if isRounded {
        let (q, dq) = (projected.value.bf16Words, dprojected.bf16Words)
        rtk_attention_backward_bf16(
          shape, dq, dq + k, dq + v, dout.bf16Words, lse, q, q + k, q + v, pairs.lowerBound, pairs.upperBound)
      } else {
        let (q, dq) = (projected.value.floats, dprojected.floats)
        rtk_attention_backward(
          shape, dq, dq + k, dq + v, dout.floats, nil, lse, q, q + k, q + v, pairs.lowerBound, pairs.upperBound)
      }
    }
    if let own { bias?.add(own, row) }
    gradients.add(dprojected, to: projected)
  }
}
