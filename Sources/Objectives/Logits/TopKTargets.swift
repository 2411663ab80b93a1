import CKernels
import Tensors

extension TopKTargets {
  /// Selects the k largest logits of each row, with ties won by the lower class, and sums the weight of all others at
  /// T.
  ///
  /// - Parameters:
  ///   - logits: [R, C], float32 or bf16.
  ///   - k: 1 ... C.
  ///   - temperature: T > 0.
  package init(of logits: Tensor, k: Int, temperature: Float) {
    let (rows, columns) = (logits.rows, logits.columns)
    precondition(k > 0 && k <= columns, "the \(k) largest of \(columns) logits")
    let values = Tensor(uninitialized: [rows, k])
    let classes = Storage(bytes: 4 * rows * k)
    let rest = Tensor(uninitialized: [rows])
    let first = classes.address.assumingMemoryBound(to: Int32.self)
    ThreadTeam.split(rows, cost: columns) { part in
      let scratch = Storage(bytes: 8 * (4 * k + 256))
      let from = logits.rows(part)
      rtk_top_k(
        values.floats + part.lowerBound * k, first + part.lowerBound * k, rest.floats + part.lowerBound,
        scratch.address.assumingMemoryBound(to: UInt64.self), from.bytes.baseAddress, logits.dtype == .bfloat16,
        part.count, columns, k, temperature)
    }
    self.init(
      logits: values, classes: Array(UnsafeBufferPointer(start: first, count: rows * k)), logRest: rest.array,
      temperature: temperature)
  }
}
