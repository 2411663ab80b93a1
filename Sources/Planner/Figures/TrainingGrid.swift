/// The ranks that train, as nodes whose ranks share memory; the ranks with equal numbers on their nodes form a lane.
///
/// Where nodes have different numbers of training ranks, each rank counts as a node.
struct TrainingGrid {
  /// N, the number of nodes.
  let nodes: Int
  /// R, the ranks of a node.
  let ranks: Int

  /// Divides the training ranks of a cluster with so many ranks on each node.
  init(trainers: Int, perNode: Int) {
    let isEven = trainers % max(1, perNode) == 0
    ranks = trainers <= perNode ? trainers : isEven ? perNode : 1
    nodes = trainers / max(1, ranks)
  }

  /// Bytes that a rank sends when its lane sums or gathers `bytes` of a buffer: bytes/R · (N − 1)/N.
  func halfBytes(_ bytes: Double) -> Double { Formulas.halfBytes(bytes / Double(max(1, ranks)), ranks: nodes) }
}
