import Collectives
import Datasets
import Tensors

/// The cosines of pairs of vectors, with the pairs' scores.
struct VectorTally: EvaluationTally {
  private let kind: TaskKind
  /// Sample, cosine and score, three numbers for each pair.
  private var rows: [Double] = []

  init(_ kind: TaskKind) { self.kind = kind }

  mutating func add(_ outputs: Tensor, _ batch: Batch) {
    for row in batch.isSecond.indices where batch.isSecond[row] && !batch.values[row - 1].isNaN {
      rows += [
        Double(batch.samples[row - 1]), VectorTally.cosine(outputs, row - 1, row), Double(batch.values[row - 1]),
      ]
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
    let parts = try communicator.allGather(rows)
    var pairs: [(sample: Double, cosine: Double, score: Double)] = []
    for part in parts {
      for at in stride(from: 0, to: part.count, by: 3) { pairs.append((part[at], part[at + 1], part[at + 2])) }
    }
    // The order of the data, so that sums have the same bits for any number of ranks.
    pairs.sort { $0.sample < $1.sample }
    let (cosines, scores) = (pairs.map(\.cosine), pairs.map(\.score))
    let sum = cosines.reduce(0) { $0 + 1 - $1 }
    return EvaluationResult(
      kind: kind, count: pairs.count, loss: pairs.isEmpty ? 0 : sum / Double(pairs.count),
      values: [
        .pearson: Correlation.pearson(cosines, scores) ?? .nan,
        .spearman: Correlation.spearman(cosines, scores) ?? .nan,
      ])
  }
}
