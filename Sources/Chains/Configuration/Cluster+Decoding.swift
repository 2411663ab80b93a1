import Planner
import Platform

extension Cluster {
  /// Reads and validates a cluster description.
  ///
  /// - Parameter file: YAML with one mapping, `cluster`; the keys are in docs/plan.md.
  /// - Throws: `.configuration` with file, line and key path, also for a file that cannot be read.
  package init(contentsOf file: String) throws {
    let wanted = "a cluster description, such as cluster-configs/laptop.yaml"
    try self.init(parsing: configurationText(of: file, wanted: wanted), file: file)
  }

  /// Validates the text of a cluster description; `file` is its name in messages.
  package init(parsing text: String, file: String) throws {
    guard let root = try ConfigurationNode(parsing: text, file: file) else {
      throw RetortError(.configuration, "is empty", at: file, remedy: "a cluster description starts with cluster:")
    }
    let top = ConfigurationCursor(node: root, path: "", file: file, isOfChain: false)
    let members = try top.members(known: ["cluster"]).required("cluster").members(known: ClusterKeys.cluster)
    let node = try members.required("node").members(known: ClusterKeys.node)
    let network = try members.required("network").members(known: ClusterKeys.network)
    let nodes: Int = try members.present("nodes")?.integer(.machines) ?? 1
    let within = try network.required("within_node").link()
    let cores: Int = try node.required("cores").integer(.threads)
    self.init(
      name: try members.present("name")?.string() ?? file, nodes: nodes,
      ranksPerNode: try members.present("ranks_per_node")?.integer(.machines) ?? cores, cores: cores,
      memory: Double(try node.required("memory").bytes()),
      memoryBandwidth: try node.required("memory_bandwidth").rate(),
      diskBandwidth: try node.required("disk_bandwidth").rate(),
      gigaflops: try node.required("gflops_per_core").gigaflops(), within: within,
      between: try nodes > 1
        ? network.required("between_nodes").link() : network.present("between_nodes")?.link() ?? within)
    if ranksPerNode > cores {
      let member = members["ranks_per_node"] ?? members.owner
      throw member.failure(
        "is \(ranksPerNode), but a node has \(cores) cores", remedy: "a rank has at least one core")
    }
  }
}

/// The keys of a cluster description, level by level.
private enum ClusterKeys {
  static let cluster = ["name", "nodes", "ranks_per_node", "node", "network"]
  static let node = ["cores", "memory", "memory_bandwidth", "disk_bandwidth", "gflops_per_core"]
  static let network = ["within_node", "between_nodes"]
  static let link = ["bandwidth", "latency"]
}

extension ConfigurationCursor {
  /// Bytes per second, above 0: a size, with or without "/s" after it.
  fileprivate func rate() throws -> Double {
    var text = try string().filter { $0 != " " }
    if text.hasSuffix("/s") { text.removeLast(2) }
    guard let bytes = NumberText.bytes(text), bytes > 0 else {
      throw failure(
        "is \(node.kindText), bytes per second were expected", remedy: "write 1.25GB/s or 500MB/s, for example")
    }
    return Double(bytes)
  }

  /// Seconds, 0 or more, with a unit: s, ms, us or ns.
  fileprivate func seconds() throws -> Double {
    let text = try string().filter { $0 != " " }
    let units: [(String, Double)] = [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1)]
    if let unit = units.first(where: { text.hasSuffix($0.0) }),
      let value = NumberText.double(String(text.dropLast(unit.0.count))), value.isFinite, value >= 0
    {
      return value * unit.1
    }
    throw failure("is \(node.kindText), a time was expected", remedy: "write 2us or 0.05ms, for example")
  }

  fileprivate func link() throws -> Cluster.Link {
    let members = try members(known: ClusterKeys.link)
    return Cluster.Link(
      bandwidth: try members.required("bandwidth").rate(), latency: try members.required("latency").seconds())
  }

  /// `{fp32: N, bf16: N}`; without bf16 if the CPU has no such products.
  fileprivate func gigaflops() throws -> [PlannedFormat: Double] {
    let members = try members(known: PlannedFormat.allCases.map(\.rawValue))
    var rates: [PlannedFormat: Double] = [.fp32: try members.required("fp32").number(.positive)]
    rates[.bf16] = try members.present("bf16")?.number(.positive)
    return rates
  }
}
