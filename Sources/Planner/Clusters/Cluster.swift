/// The machines of a job, as a plan needs to know them: what is sustained, not what is printed on the box.
public struct Cluster: Sendable, Equatable {
  /// A way between ranks.
  public struct Link: Sendable, Equatable {
    /// Bytes a second that all ranks of a node together send this way, while they receive as much.
    public var bandwidth: Double
    /// Seconds of an empty message.
    public var latency: Double

    /// A link of this bandwidth and latency.
    public init(bandwidth: Double, latency: Double) {
      self.bandwidth = bandwidth
      self.latency = latency
    }
  }

  /// In the title of a plan.
  public var name: String
  /// Equal machines.
  public var nodes: Int
  /// Ranks on each.
  public var ranksPerNode: Int
  /// Physical cores of a node.
  public var cores: Int
  /// Bytes of memory of a node.
  public var memory: Double
  /// Bytes a second that a node reads from memory.
  public var memoryBandwidth: Double
  /// Bytes a second that a node reads from the disk with the models.
  public var diskBandwidth: Double
  /// 10⁹ operations a second of a core in large matrix products, f32 and bf16.
  public var gigaflops: [PlannedFormat: Double]
  /// Between ranks of a node, and between nodes.
  public var within: Link, between: Link

  /// All figures; see the properties.
  public init(
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

  /// The part of a node's memory that a plan fills; the rest is the system's and the files'.
  public static let usableShare = 0.9

  /// P, when all nodes are used.
  public var ranks: Int { nodes * ranksPerNode }
  /// Threads of a rank.
  public var threads: Int { max(1, cores / ranksPerNode) }
  /// Bytes that the ranks of a node may have together.
  public var usableMemory: Double { memory * Cluster.usableShare }
  /// Operations a second of a rank.
  public func rate(_ format: PlannedFormat) -> Double {
    (gigaflops[format] ?? gigaflops[.fp32] ?? 1) * 1e9 * Double(threads)
  }

  /// The cluster with `ranks` ranks, nodes filled one after the other.
  public func with(ranks: Int) -> Cluster {
    var copy = self
    copy.nodes = (ranks + ranksPerNode - 1) / ranksPerNode
    if copy.nodes == 1 {
      // A rank's share of the cores grows where fewer ranks are started on a node.
      copy.ranksPerNode = ranks
    }
    return copy
  }

  /// Seconds in which every rank of groups of consecutive ranks sends `bytes` to the others of its group in equal
  /// shares, with so many messages one after the other.
  public func exchangeSeconds(_ bytes: Double, group: Int, messages: Double) -> Double {
    guard group > 1 else { return 0 }
    let outside = shareOutside(group: group)
    let ofNode = bytes * Double(ranksPerNode)
    let moving = max(ofNode * (1 - outside) / within.bandwidth, ofNode * outside / between.bandwidth)
    return moving + messages * latency(group: group)
  }

  /// The share of a rank's messages that leaves its node, in groups of consecutive ranks.
  public func shareOutside(group: Int) -> Double {
    group > ranksPerNode ? Double(group - ranksPerNode) / Double(group - 1) : 0
  }

  /// Of a message in a group.
  func latency(group: Int) -> Double { group > ranksPerNode ? between.latency : within.latency }
}
