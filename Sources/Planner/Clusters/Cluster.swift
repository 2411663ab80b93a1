/// The machines of a job, described for a plan: sustained rates, not peak rates from a data sheet.
package struct Cluster: Sendable, Equatable {
  /// A connection between ranks.
  package struct Link: Sendable, Equatable {
    /// Bytes per second that all ranks of a node together send over it, while they receive as much.
    package var bandwidth: Double
    /// Seconds of an empty message.
    package var latency: Double

    /// Makes a link.
    package init(bandwidth: Double, latency: Double) {
      self.bandwidth = bandwidth
      self.latency = latency
    }
  }

  /// The name, for the title of a plan.
  package var name: String
  /// The number of equal machines.
  package var nodes: Int
  /// Ranks on each node.
  package var ranksPerNode: Int
  /// Physical cores of a node.
  package var cores: Int
  /// Bytes of memory of a node.
  package var memory: Double
  /// Bytes per second that a node reads from memory.
  package var memoryBandwidth: Double
  /// Bytes per second that a node reads from the disk with the models.
  package var diskBandwidth: Double
  /// 10⁹ operations per second of a core in large matrix products, f32 and bf16.
  package var gigaflops: [PlannedFormat: Double]
  /// The links between the ranks of a node, and between nodes.
  package var within: Link, between: Link

  /// Makes a cluster; see the properties.
  package init(
    name: String, nodes: Int, ranksPerNode: Int, cores: Int, memory: Double, memoryBandwidth: Double,
    diskBandwidth: Double, gigaflops: [PlannedFormat: Double], within: Link, between: Link
  ) {
    self.name = name
    self.nodes = nodes
    self.ranksPerNode = ranksPerNode
    self.cores = cores
    self.memory = memory
    self.memoryBandwidth = memoryBandwidth
    self.diskBandwidth = diskBandwidth
    self.gigaflops = gigaflops
    self.within = within
    self.between = between
  }

  /// The share of a node's memory that a plan uses; the rest is left to the system and the page cache.
  package static let usableShare = 0.9

  /// P: the ranks on all nodes.
  package var ranks: Int { nodes * ranksPerNode }
  /// Threads of a rank.
  package var threads: Int { max(1, cores / ranksPerNode) }
  /// Bytes that the ranks of a node may use together.
  package var usableMemory: Double { memory * Cluster.usableShare }
  /// Operations per second of a rank.
  package func rate(_ format: PlannedFormat) -> Double {
    (gigaflops[format] ?? gigaflops[.fp32] ?? 1) * 1e9 * Double(threads)
  }

  /// The cluster with `ranks` ranks, which fill node after node.
  package func with(ranks: Int) -> Cluster {
    var copy = self
    copy.nodes = (ranks + ranksPerNode - 1) / ranksPerNode
    if copy.nodes == 1 {
      // With fewer ranks on a node each rank has more cores.
      copy.ranksPerNode = ranks
    }
    return copy
  }

  /// Seconds in which every rank sends `bytes` in equal shares to the others of its group of consecutive ranks, with
  /// `messages` consecutive messages.
  package func exchangeSeconds(_ bytes: Double, group: Int, messages: Double) -> Double {
    guard group > 1 else { return 0 }
    let outside = shareOutside(group: group)
    let ofNode = bytes * Double(ranksPerNode)
    let moving = max(ofNode * (1 - outside) / within.bandwidth, ofNode * outside / between.bandwidth)
    return moving + messages * latency(group: group)
  }

  /// The share of a rank's messages that leaves its node, in groups of consecutive ranks.
  package func shareOutside(group: Int) -> Double {
    group > ranksPerNode ? Double(group - ranksPerNode) / Double(group - 1) : 0
  }

  /// The latency of a message in a group.
  func latency(group: Int) -> Double { group > ranksPerNode ? between.latency : within.latency }
}
