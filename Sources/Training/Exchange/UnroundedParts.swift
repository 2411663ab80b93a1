import Autograd
import Collectives
import Tensors

/// The parts of a lane's blocks that passes read in float32, where weights travel between nodes in bf16: biases, norms,
/// and weights too small for bf16 products.
struct UnroundedParts {
  /// For each bucket and each node, the elements of the flat buffer in that node's block.
  private let ranges: [[[Range<Int>]]]
  private let node: Int

  init(_ flat: FlatParameters, _ grid: RankGrid) {
    node = grid.lane.rank
    let nodes = grid.lane.size
    let places = (0..<nodes).map { flat.ownedRanges(rank: grid.node.rank * nodes + $0) }
    ranges = flat.buckets.indices.map { bucket in
      let parts = flat.members[bucket].filter { !flat.parameters[$0].isRounded(in: .bf16) }.map { flat.ranges[$0] }
      return places.map { blocks in parts.map { $0.clamped(to: blocks[bucket]) }.filter { !$0.isEmpty } }
    }
  }

  /// The elements of the node with the most of them: each node sends as many.
  private func width(_ bucket: Int) -> Int { ranges[bucket].map { $0.reduce(0) { $0 + $1.count } }.max() ?? 0 }

  /// A buffer of one row for each node, with this node's elements in its row.
  func collect(_ bucket: Int, from values: Tensor) -> Tensor {
    let buffer = Tensor.zeros([ranges[bucket].count, width(bucket)])
    var place = buffer.floats + node * width(bucket)
    for range in ranges[bucket][node] {
      place.update(from: values.floats + range.lowerBound, count: range.count)
      place += range.count
    }
    return buffer
  }

  /// Copies the rows of the other nodes to their elements.
  func spread(_ bucket: Int, _ buffer: Tensor, into values: Tensor) {
    for (row, parts) in ranges[bucket].enumerated() where row != node {
      var place = buffer.floats + row * width(bucket)
      for range in parts {
        (values.floats + range.lowerBound).update(from: place, count: range.count)
        place += range.count
      }
    }
  }
}
