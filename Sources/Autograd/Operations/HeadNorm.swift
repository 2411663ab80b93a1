import CKernels
import Tensors

extension Tape {
  /// The root mean square norm of each head of queries and keys, y = γ · x / √(mean(x²) + ε); values stay as they are.
  ///
  /// - Parameters:
  ///   - x: [T, (H + 2·H_kv)·D], each row a token's queries, keys, values; float32 or bf16. Without a backward pass the
  ///     result overwrites its memory, so nothing may read x afterwards.
  ///   - query: γ of the queries, [D].
  ///   - key: γ of the keys, [D].
  ///   - offset: a number added to both γ.
  ///   - epsilon: added to the mean square, > 0.
  /// - Returns: y in the format of x.
  package func headNorm(
    _ x: Variable, heads: Int, keyValueHeads: Int, query: Parameter, key: Parameter, offset: Float = 0, epsilon: Float
  ) -> Variable {
    let (input, size) = (x.value, query.count)
    let columns = (heads + 2 * keyValueHeads) * size
    precondition(
      input.columns == columns && key.count == size,
      "norms of \(heads) + \(keyValueHeads) heads of \(size) in \(x.shape)")
    let rstd = Tensor(uninitialized: [input.rows, heads + keyValueHeads])
    let y = isRecording ? Tensor.matrix(uninitializedRows: input.rows, columns: columns, input.dtype) : input
    let (queryScale, keyScale) = (query.value.plus(offset), key.value.plus(offset))
    ThreadTeam.split(input.rows, cost: 3 * columns) { part in
      let (at, r) = (part.lowerBound * columns, rstd.floats + part.lowerBound * rstd.columns)
      if input.dtype == .bfloat16 {
        rtk_bf16_head_norm_forward(
          y.bf16Words + at, r, input.bf16Words + at, queryScale.floats, keyScale.floats, part.count, heads,
          keyValueHeads, size, epsilon)
      } else {
        rtk_head_norm_forward(
          y.floats + at, r, input.floats + at, queryScale.floats, keyScale.floats, part.count, heads, keyValueHeads,
          size, epsilon)
      }
    }
    return record(
      y, from: [x],
      HeadNormOperation(
        x: x, heads: heads, keyValueHeads: keyValueHeads, rstd: rstd, query: query, key: key, offset: offset))
  }
}

struct HeadNormOperation: Operation {
  let x: Variable
  let heads: Int
  let keyValueHeads: Int
  /// [T, H + H_kv].
  let rstd: Tensor
  let query: Parameter
  let key: Parameter
  let offset: Float

  var parameters: [Parameter] { [query, key] }

  /// The gradients of γ are summed per so many rows, so the number of threads does not change the order of a sum.
  private static let block = 64

  // Per head, with x̂ = x·rstd and g = γ·dy: dx = rstd·(g − x̂·mean(g·x̂)), dγ += Σ dy·x̂. Of the values dx = dy.
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    let (input, size) = (x.value, query.count)
    let (rows, columns) = (input.rows, input.columns)
    let dx = gradients.isGivenOwned ? dy : Tensor.matrix(uninitializedRows: rows, columns: columns, dy.dtype)
    let blocks = (rows + Self.block - 1) / Self.block
    let isTrained = query.isTrained || key.isTrained
    // The sums of each block, for queries and for keys; the first row is the previous gradient.
    let parts = [query, key].map { _ in Tensor.zeros([blocks + 1, isTrained ? size : 0]) }
    let (queryScale, keyScale) = (query.value.plus(offset), key.value.plus(offset))
    ThreadTeam.split(blocks, cost: 5 * columns * Self.block) { range in
      for block in range {
        let row = block * Self.block
        let (at, count) = (row * columns, min(Self.block, rows - row))
        let own = parts.map { isTrained ? $0.floats + (block + 1) * size : nil }
        let r = rstd.floats + row * rstd.columns
        if input.dtype == .bfloat16 {
          rtk_bf16_head_norm_backward(
            dx.bf16Words + at, own[0], own[1], dy.bf16Words + at, input.bf16Words + at, r, queryScale.floats,
            keyScale.floats, count, heads, keyValueHeads, size)
        } else {
          rtk_head_norm_backward(
            dx.floats + at, own[0], own[1], dy.floats + at, input.floats + at, r, queryScale.floats, keyScale.floats,
            count, heads, keyValueHeads, size)
        }
      }
    }
    for (parameter, sums) in zip([query, key], parts) {
      guard let gradient = parameter.gradient else { continue }
      sums.rows(0..<1).update(from: gradient)
      rtk_sum_parts(gradient.floats, sums.floats, blocks + 1, size, size)
    }
    gradients.add(dx, to: x)
  }
}
