import Autograd
import Collectives
import Datasets
import Layers
import Objectives
import Platform
import Tensors

/// What terms that compare the examples of a batch with each other (`similarity_mse`) need before the first pass.
struct ComparedBatch {
  /// The signals of all teachers in each round.
  let signals: [[TeacherSignals?]]
  /// For each pass of this rank, the vectors of the global batch by the index of the term that reads them.
  let vectors: [[Int: BatchVectors]]
}

extension Trainer {
  /// The vectors of both models for the whole batch, from a forward pass over it without gradients; nil if no term
  /// compares its examples, or if one pass is all of it. Collective.
  ///
  /// The passes are those of the step that follows, with the same weights and dropout, so that a pass finds its own
  /// vectors among those of the batch. Rows of sharded tables are received here.
  func comparedBatch(
    _ passes: [[Int]], of batch: [Int], _ loss: StepLoss, step: Int, rounds: Int,
    ask: (_ round: Int) throws -> [TeacherSignals?]
  ) throws -> ComparedBatch? {
    let terms = loss.inner.filter(\.comparesBatch)
    let most = mostPasses(of: batch)
    if terms.isEmpty || communicator.size == 1 && most == 1 { return nil }
    let signals = try (0..<rounds).map(ask)
    try receiveRows()
    let student = try Trace.detail("vectors of the batch") { try pooledOutputs(passes, most: most, step: step) }
    let taught = terms.map { term in
      passes.indices.compactMap { signals[$0][term.teacher].flatMap(term.pooled) }
    }
    let gathered = try ([student] + taught).map { try gather($0) }
    var vectors = [[Int: BatchVectors]](repeating: [:], count: passes.count)
    for (term, teacher) in zip(terms, gathered.dropFirst()) {
      var row = gathered[0].first
      for (pass, values) in student.enumerated() {
        let own = row..<row + values.rows
        vectors[pass][term.index] = BatchVectors(student: gathered[0].all, teacher: teacher.all, own: own)
        row = own.upperBound
      }
    }
    return ComparedBatch(signals: signals, vectors: vectors)
  }

  /// The student's pooled outputs of each pass, [B, D].
  private func pooledOutputs(_ passes: [[Int]], most: Int, step: Int) throws -> [Tensor] {
    var outputs: [Tensor] = []
    for index in 0..<most {
      exchange.strategy.beginReading()
      if index < passes.count {
        let batch = try checked(train.batch(passes[index]))
        let observer = RecordingObserver(all: [.pooled])
        // Recorded as the pass that follows, since passes that are not recorded round elsewhere in bf16.
        let tape = Tape(
          recording: true, precision: configuration.precision, weights: weights, observer: exchange.strategy)
        _ = student.forward(
          batch, ForwardContext(tape: tape, dropout: dropout(of: batch, step: step), observer: observer))
        if let value = observer.values[.pooled] { outputs.append(value) }
      }
      try exchange.strategy.endReading()
    }
    return outputs
  }

  /// The rows of all passes of all ranks, and the first of this rank's; collective.
  private func gather(_ parts: [Tensor]) throws -> (all: Tensor, first: Int) {
    let own = parts.flatMap { $0.converted(to: .float32).array }
    let all = try communicator.allGather(own)
    let width = try communicator.allReduce(parts.first?.columns ?? 0, .max)
    let result = Tensor(uninitialized: [all.reduce(0) { $0 + $1.count } / max(1, width), width])
    var place = 0
    for values in all {
      values.withUnsafeBufferPointer { source in
        if let start = source.baseAddress { (result.floats + place).update(from: start, count: source.count) }
      }
      place += values.count
    }
    return (result, all.prefix(communicator.rank).reduce(0) { $0 + $1.count } / max(1, width))
  }
}
