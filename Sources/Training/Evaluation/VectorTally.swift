import Collectives
import Datasets
import Tensors

/// The cosines of pairs of vectors, with the pairs' scores.
struct VectorTally: EvaluationTally {
  private let kind: TaskKind
  private var pairs = ScoredPairs()

  init(_ kind: TaskKind) { self.kind = kind }

  mutating func add(_ outputs: Tensor, _ batch: Batch) {
    for row in batch.isSecond.indices where batch.isSecond[row] && !batch.values[row - 1].isNaN {
      pairs.add(
        sample: batch.samples[row - 1], score: VectorTally.cosine(outputs, row - 1, row), target: batch.values[row - 1])
    }
  }

  /// The cosine of two rows; 0 if one has no length.
  private static func cosine(_ x: Tensor, _ first: Int, _ second: Int) -> Double {
    let (a, b) = (x.floats + first * x.columns, x.floats + second * x.columns)
    var (dot, own, other) = (0.0, 0.0, 0.0)
    for column in 0..<x.columns {
      dot += Double(a[column]) * Double(b[column])
      own += Double(a[column]) * Double(a[column])
      other += Double(b[column]) * Double(b[column])
    }
    let scale = (own * other).squareRoot()
    return scale == 0 ? 0 : dot / scale
  }

  /// The correlations; `loss` is the mean of 1 − cosine, which no metric shows and which is finite if the vectors are.
  func result(on communicator: any Communicator) throws -> EvaluationResult {
    let (cosines, scores) = try pairs.gathered(on: communicator)
    let sum = cosines.reduce(0) { $0 + 1 - $1 }
    return EvaluationResult(
      kind: kind, count: cosines.count, loss: cosines.isEmpty ? 0 : sum / Double(cosines.count),
      values: ScoredPairs.correlations(cosines, scores))
  }
}
