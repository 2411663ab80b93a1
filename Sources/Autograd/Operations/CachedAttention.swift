import CKernels
import Tensors

/// The KV cache of one layer: the keys and values of one sequence's tokens so far.
package final class KVCache {
  /// [capacity, H_kv·D] each, in the format of the passes.
  private var keys: Tensor
  private var values: Tensor
  private let capacity: Int
  /// The number of tokens in the cache.
  package private(set) var count = 0

  /// An empty cache.
  ///
  /// - Parameters:
  ///   - width: H_kv·D.
  ///   - capacity: the number of tokens that fit before it grows.
  package init(width: Int, capacity: Int) {
    self.capacity = capacity
    keys = Tensor(uninitialized: [0, width])
    values = keys
  }

  /// Appends the keys and values of each row, which start at element `firstKey`.
  fileprivate func append(_ projected: Tensor, firstKey: Int) {
    let width = keys.columns
    precondition(
      projected.columns == firstKey + 2 * width && (count == 0 || projected.dtype == keys.dtype),
      "keys and values of \(width) each in \(projected.dtype.rawValue) \(projected.shape)")
    reserve(count + projected.rows, projected.dtype)
    for row in 0..<projected.rows {
      let from = row * projected.columns + firstKey
      for (target, start) in [(keys, from), (values, from + width)] {
        (target.storage.address + (count + row) * width * target.dtype.size).copyMemory(
          from: projected.storage.address + projected.byteOffset + start * target.dtype.size,
          byteCount: width * target.dtype.size)
      }
    }
    count += projected.rows
  }

  private func reserve(_ tokens: Int, _ format: DType) {
    if tokens <= keys.rows { return }
    func grown(_ old: Tensor) -> Tensor {
      let new = Tensor(uninitialized: [max(tokens, 2 * old.rows, capacity), old.columns], format)
      new.storage.address.copyMemory(from: old.storage.address, byteCount: count * old.columns * format.size)
      return new
    }
    (keys, values) = (grown(keys), grown(values))
  }

  /// Attention of one row of queries to the first `tokens` of the cache, of these to the last ones within the window,
  /// into a row of `out`.
  fileprivate func attend(_ queries: Tensor, row: Int, to tokens: Int, _ options: AttentionOptions, into out: Tensor) {
    let (size, scale) = (options.headSize, options.factor)
    let (q, o) = (row * queries.columns, row * out.columns)
    let seen = min(tokens, (options.reach ?? tokens) + 1)
    let first = (tokens - seen) * keys.columns
    let cost = seen * size * (options.heads / options.keyValueHeads + 1)
    ThreadTeam.split(options.keyValueHeads, cost: cost) { heads in
      if queries.dtype == .bfloat16 {
        rtk_bf16_attention_step(
          out.bf16Words + o, queries.bf16Words + q, keys.bf16Words + first, values.bf16Words + first, seen,
          options.heads, options.keyValueHeads, size, scale, heads.lowerBound, heads.upperBound)
      } else {
        rtk_attention_step(
          out.floats + o, queries.floats + q, keys.floats + first, values.floats + first, seen,
          options.heads, options.keyValueHeads, size, scale, heads.lowerBound, heads.upperBound)
      }
    }
  }
}

extension Tape {
  /// Causal attention of the tokens that follow those in the KV cache, and appends them to it; for inference.
  ///
  /// - Parameters:
  ///   - projected: [T, (H + 2·H_kv)·D] of one sequence, each row a token's queries, keys, values.
  ///   - cache: the KV cache of the earlier tokens; empty at the start of a sequence, which is an ordinary pass.
  /// - Returns: [T, H·D] in the format of `projected`.
  package func attention(_ projected: Variable, after cache: KVCache, _ options: AttentionOptions) -> Variable {
    precondition(!isRecording && options.isCausal, "attention with a KV cache is for inference of causal models")
    let (before, rows) = (cache.count, projected.value.rows)
    let firstKey = options.heads * options.headSize
    cache.append(projected.value, firstKey: firstKey)
    if before == 0, rows > 1 { return attention(projected, offsets: [0, Int32(rows)], options) }
    let out = Tensor.matrix(uninitializedRows: rows, columns: firstKey, projected.value.dtype)
    for row in 0..<rows { cache.attend(projected.value, row: row, to: before + row + 1, options, into: out) }
    return Variable(constant: out)
  }
}
