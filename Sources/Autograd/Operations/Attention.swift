import CKernels
import Tensors

/// What scaled dot-product attention needs to know besides its input.
public struct AttentionOptions: Sendable {
  /// Query heads.
  public var heads: Int
  /// Key and value heads; `heads` is a multiple of it.
  public var keyValueHeads: Int
  /// Size of one head.
  public var headSize: Int
  /// Whether a token sees only itself and what stands before it in its sequence.
  public var isCausal: Bool
  /// Dropout on the probabilities, with two key words for each sequence; nil in inference.
  public var dropout: (probability: Float, keys: [UInt32])?

  /// The options of H query heads and as many key and value heads, unless `keyValueHeads` (a divisor of H) says fewer.
  public init(
    heads: Int, keyValueHeads: Int? = nil, headSize: Int, isCausal: Bool = false,
    dropout: (probability: Float, keys: [UInt32])? = nil
  ) {
    self.heads = heads
    self.keyValueHeads = keyValueHeads ?? heads
    self.headSize = headSize
    self.isCausal = isCausal
    self.dropout = dropout
  }
}

extension Tape {
  /// Attention inside each packed sequence: out_i = Σ_j softmax_j(q_i·k_j / √D) v_j (Vaswani et al., 2017).
  ///
  /// - Parameters:
  ///   - projected: [T, (H + 2·H_kv)·D], a row being the token's queries, then keys, then values.
  ///   - offsets: [B+1], where each sequence starts.
  ///   - capture: whether the probabilities are wanted too.
  /// - Returns: the output [T, H·D], and for each sequence in turn [H, S, S] probabilities before dropout, flat.
  public func attention(_ projected: Variable, offsets: [Int32], _ options: AttentionOptions, capture: Bool = false)
    -> (output: Variable, probabilities: Variable?)
  {
    let tokens = projected.value.rows
    precondition(
      projected.value.columns == (options.heads + 2 * options.keyValueHeads) * options.headSize,
      "attention input \(projected.shape) for \(options.heads)+2×\(options.keyValueHeads) heads of \(options.headSize)")
    precondition(Int(offsets.last ?? 0) == tokens, "offsets end at \(offsets.last ?? 0) of \(tokens) tokens")
    let out = Tensor(uninitialized: [tokens, options.heads * options.headSize])
    let lse = Tensor(uninitialized: [tokens, options.heads])
    var probabilities: Tensor?
    if capture {
      let cells = zip(offsets, offsets.dropFirst()).reduce(0) { $0 + Int($1.1 - $1.0) * Int($1.1 - $1.0) }
      probabilities = Tensor(uninitialized: [options.heads * cells])
    }
    let operation = AttentionOperation(
      projected: projected, offsets: offsets, options: options, output: out, logSumExp: lse)
    operation.withShape { shape, q, k, v in
      rtk_attention_forward(&shape, out.floats, lse.floats, probabilities?.floats, q, k, v)
    }
    let output = record(out, from: [projected], operation)
    // The probabilities are an output to look at; a loss on them has an operation of its own.
    return (output, probabilities.map { Variable(constant: $0) })
  }
}

struct AttentionOperation: Operation {
  let projected: Variable
  let offsets: [Int32]
  let options: AttentionOptions
  let output: Tensor
  let logSumExp: Tensor

  func withShape(
    _ body: (
      _ shape: inout rtk_attention_shape, _ q: UnsafeMutablePointer<Float>, _ k: UnsafeMutablePointer<Float>,
      _ v: UnsafeMutablePointer<Float>
    ) -> Void
  ) {
    offsets.withUnsafeBufferPointer { offsets in
      (options.dropout?.keys ?? []).withUnsafeBufferPointer { keys in
        let stride = projected.value.columns
        var shape = rtk_attention_shape(
          offsets: offsets.baseAddress, B: offsets.count - 1, H: options.heads, H_kv: options.keyValueHeads,
          D: options.headSize, q_stride: stride, k_stride: stride, v_stride: stride,
          out_stride: options.heads * options.headSize, scale: 1 / Float(options.headSize).squareRoot(),
          causal: options.isCausal, dropout: options.dropout?.probability ?? 0,
          keys: options.dropout == nil ? nil : keys.baseAddress)
        let q = projected.value.floats
        let k = q + options.heads * options.headSize
        body(&shape, q, k, k + options.keyValueHeads * options.headSize)
      }
    }
  }

  // With P = softmax: dV = Pᵀ dO, dP = dO Vᵀ, dS = P ∘ (dP − Σ dO∘O), dQ = dS K / √D, dK = dSᵀ Q / √D.
  func backward(_ dout: Tensor, _ gradients: inout Gradients) {
    let dprojected = Tensor(uninitialized: projected.shape)
    withShape { shape, q, k, v in
      let dq = dprojected.floats
      rtk_attention_backward(
        &shape, dq, dq + (k - q), dq + (v - q), dout.floats, nil, output.floats, logSumExp.floats, q, k, v)
    }
    gradients.add(dprojected, to: projected)
  }
}
