import Platform

/// The ranks of a job as nodes of equally many ranks that share memory.
///
///     node 0   (0,0)  (0,1)  (0,2)      a row shares memory
///     node 1   (1,0)  (1,1)  (1,2)
///                 lane 1: a column, one rank of each node, exchanges messages
///
/// A buffer that is divided over all ranks has a block for each place; the blocks of a lane are neighbours, so a lane's
/// ranks exchange a contiguous part of the buffer:
///
///     | lane 0: (0,0) (1,0) | lane 1: (0,1) (1,1) | lane 2: (0,2) (1,2) |
///
/// Where nodes have different numbers of ranks, or ranks cannot share memory, each rank counts as a node of its own,
/// and everything is a message.
package final class RankGrid {
  /// The ranks of this node.
  package let node: NodeGroup
  /// The ranks with this rank's number on their node, by node.
  package let lane: any Communicator
  /// All ranks, by place; a rank's number in it is its place.
  package let ordered: any Communicator
  /// Why ranks of a node exchange messages; nil if they share memory, or if there is one rank a node.
  package let remark: String?

  /// The number of this rank's block.
  package var place: Int { ordered.rank }
  /// The number of ranks.
  package var size: Int { ordered.size }

  /// Finds the nodes of a job; collective.
  ///
  /// - Parameters:
  ///   - most: the most ranks that share memory; nil for all ranks of a node, 1 for none.
  ///   - threads: the threads of a rank.
  package init(of ranks: any Communicator, sharing most: Int? = nil, threads: Int) throws {
    let sharing = most != 1
    var local = try ranks.splitByNode()
    if let most, sharing { local = try local.split(color: local.rank / max(1, most), key: local.rank) }
    let sizes = try ranks.allGather(local.size)
    let areEqual = Set(sizes).count == 1
    var remark: String?
    var group: NodeGroup?
    if sharing, areEqual {
      let made = try NodeGroup.make(of: local, threads: threads)
      if try ranks.all(made != nil) { group = made } else { remark = "ranks of a node cannot share memory" }
    } else if sharing {
      remark = "nodes have \(sizes.min() ?? 1) to \(sizes.max() ?? 1) ranks"
    }
    if let group {
      node = group
    } else {
      node = try RankGrid.alone(ranks, threads)
    }
    self.remark = remark
    let first = try node.ranks.broadcast(ranks.rank)
    let index = try Set(ranks.allGather(first)).sorted().firstIndex(of: first) ?? 0
    lane = try ranks.split(color: node.rank, key: index)
    if lane.size > 1 { node.progress = { [lane] in try lane.progress() } }
    ordered = try ranks.split(color: 0, key: node.rank * lane.size + index)
  }

  private static func alone(_ ranks: any Communicator, _ threads: Int) throws -> NodeGroup {
    guard let group = try NodeGroup.make(of: ranks.split(color: ranks.rank, key: 0), threads: threads) else {
      OutOfMemory.end(bytes: 1 << 21, for: "the counters of a rank")
    }
    return group
  }

  /// The sums of numbers over all ranks, the same bits on every rank; collective.
  package func sum(_ numbers: [Double]) throws -> [Double] {
    let own = try node.sum(numbers)
    if lane.size == 1 { return own }
    // Lanes have the same numbers, and one of them sums for all, so that no rank can get other bits.
    let total = node.rank == 0 ? try lane.allReduce(own, .sum) : own.map { _ in 0 }
    return node.size == 1 ? total : try node.sum(total)
  }
}
