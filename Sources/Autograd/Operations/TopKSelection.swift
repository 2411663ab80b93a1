import CKernels
import Tensors

#if canImport(Glibc)
  import Glibc
#endif

extension TopKTargets {
  /// The k largest logits of each row, of equal ones those of earlier classes, and what all others weigh at T.
  ///
  /// - Parameters:
  ///   - logits: [R, C], float32 or bf16.
  ///   - k: 1 ... C.
  ///   - temperature: T > 0.
  public init(of logits: Tensor, k: Int, temperature: Float) {
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

extension TopKTargets {
  /// The k largest of what ranks found that have parts of the classes each, and what all others weigh together.
  ///
  /// - Parameters:
  ///   - parts: of the same rows at one temperature, with classes of the whole vocabulary; together at least k a row.
  ///   - k: how many stay.
  public init(merging parts: [TopKTargets], k: Int) {
    let (rows, temperature) = (parts.first?.logits.rows ?? 0, parts.first?.temperature ?? 1)
    precondition(
      parts.allSatisfy { $0.logits.rows == rows && $0.temperature == temperature }
        && parts.reduce(0) { $0 + $1.logits.columns } >= k,
      "the \(k) largest of \(parts.map { "\($0.logits.shape)" }) at \(parts.map(\.temperature))")
    let values = Tensor(uninitialized: [rows, k])
    var classes: [Int32] = []
    var rest: [Float] = []
    for row in 0..<rows {
      var found = parts.flatMap { part in
        (row * part.logits.columns..<(row + 1) * part.logits.columns).map {
          (value: part.logits.floats[$0], class: part.classes[$0])
        }
      }
      found.sort { $0.value == $1.value ? $0.class < $1.class : $0.value > $1.value }
      for (index, best) in found.prefix(k).enumerated() {
        values.floats[row * k + index] = best.value
        classes.append(best.class)
      }
      let others =
        found.dropFirst(k).map { Double($0.value) / Double(temperature) } + parts.map { Double($0.logRest[row]) }
      let largest = others.reduce(-.infinity, max)
      let sum = others.reduce(0) { largest > -.infinity ? $0 + exp($1 - largest) : $0 }
      rest.append(Float(log(sum) + largest))
    }
    self.init(logits: values, classes: classes, logRest: rest, temperature: temperature)
  }

  /// The same with other numbers for its classes: those of a rank whose first one is `first` of all.
  public func shifted(by first: Int) -> TopKTargets {
    TopKTargets(
      logits: logits, classes: classes.map { $0 + Int32(first) }, logRest: logRest, temperature: temperature)
  }
}

extension SoftTargets {
  /// The k largest logits of each row and what all others weigh at T; of states a chunk of logits at a time.
  ///
  /// A row's result does not depend on the rows beside it. 0 < k ≤ C, T > 0; targets that are a top-k are a
  /// precondition failure.
  public func best(_ k: Int, temperature: Float) -> TopKTargets {
    switch self {
    case .logits(let logits): return TopKTargets(of: logits, k: k, temperature: temperature)
    case .topK: preconditionFailure("the \(k) largest logits of some")
    case .hidden(let states, let head):
      let parts = HeadLossChunks.ranges(rows: states.rows, classes: head.rows).map { part in
        let x = states.rows(part).converted(to: head.dtype)
        let operand = head.dtype == .bfloat16 ? x.withPaddedRows() : x
        let logits = Tensor(uninitialized: [operand.rows, head.rows])
        head.whileInMemory { rowProduct(operand, head, into: logits) }
        return TopKTargets(of: logits.rows(0..<part.count), k: k, temperature: temperature)
      }
      let values = Tensor(uninitialized: [states.rows, k])
      for (part, range) in zip(parts, HeadLossChunks.ranges(rows: states.rows, classes: head.rows)) {
        values.rows(range).update(from: part.logits)
      }
      return TopKTargets(
        logits: values, classes: parts.flatMap(\.classes), logRest: parts.flatMap(\.logRest), temperature: temperature)
    }
  }
}
