import Foundation
import Planner
import Platform
import Testing

@testable import Chains

@Suite struct ClusterDescriptionTests {
  static let whole = """
    cluster:
      name: two
      nodes: 2
      ranks_per_node: 4
      node:
        cores: 8
        memory: 16GiB
        memory_bandwidth: 40 GB/s
        disk_bandwidth: 500MB
        gflops_per_core: {fp32: 60, bf16: 1.2e2}
      network:
        within_node: {bandwidth: 8GB/s, latency: 1us}
        between_nodes: {bandwidth: 1.15GB/s, latency: 0.04ms}
    """

  private func refusal(replacing old: String, by new: String) throws -> RetortError {
    let text = ClusterDescriptionTests.whole.replacingOccurrences(of: old, with: new)
    try #require(text != ClusterDescriptionTests.whole)
    return try #require(throws: RetortError.self) { _ = try Cluster(parsing: text, file: "c.yaml") }
  }

  @Test func `a description is read with its units`() throws {
    let cluster = try Cluster(parsing: ClusterDescriptionTests.whole, file: "c.yaml")
    #expect(cluster.ranks == 8 && cluster.threads == 2 && cluster.memory == 16 * 1_073_741_824.0)
    #expect(cluster.memoryBandwidth == 40e9 && cluster.diskBandwidth == 500e6)
    #expect(cluster.gigaflops == [.fp32: 60, .bf16: 120])
    #expect(cluster.between == Cluster.Link(bandwidth: 1.15e9, latency: 0.04 * 1e-3))
  }

  @Test func `one node needs no network between nodes, and a rank a core is the default`() throws {
    let text = ClusterDescriptionTests.whole.split(separator: "\n").filter {
      !$0.contains("between_nodes") && !$0.contains("nodes: 2") && !$0.contains("ranks_per_node")
    }
    let cluster = try Cluster(parsing: text.joined(separator: "\n"), file: "c.yaml")
    #expect(cluster.nodes == 1 && cluster.ranksPerNode == 8 && cluster.between == cluster.within)
  }

  @Test func `refusals name file, line and key`() throws {
    let cases: [(String, String, String, String)] = [
      ("ranks_per_node: 4", "ranks_per_node: 9", "c.yaml:4: cluster.ranks_per_node", "a node has 8 cores"),
      ("ranks_per_node", "ranks_a_node", "c.yaml:4: cluster.ranks_a_node", "did you mean \"ranks_per_node\""),
      ("cores: 8", "cores: 0", "c.yaml:6: cluster.node.cores", "outside the allowed range"),
      ("16GiB", "much", "c.yaml:7: cluster.node.memory", "a size was expected"),
      ("40 GB/s", "0", "c.yaml:8: cluster.node.memory_bandwidth", "bytes per second"),
      ("latency: 1us", "latency: 1", "c.yaml:12: cluster.network.within_node.latency", "a time was expected"),
      ("fp32: 60, ", "", "cluster.node.gflops_per_core.fp32", "is required and missing"),
      ("    between_nodes", "    # between_nodes", "cluster.network.between_nodes", "is required and missing"),
      ("cores: 8", "steps: 8", "c.yaml:6: cluster.node.steps", "unknown key"),
    ]
    for (old, new, place, what) in cases {
      let error = try refusal(replacing: old, by: new)
      #expect(error.kind == .configuration)
      #expect(error.location?.contains(place) == true, "\(error)")
      #expect(error.description.contains(what), "\(error)")
      #expect(!error.description.contains("belongs in"), "\(error)")
    }
  }

  @Test func `the descriptions that are shipped are read`() throws {
    let folder = ProcessInfo.processInfo.environment["RETORT_ROOT"] ?? FileManager.default.currentDirectoryPath
    for name in ["laptop", "nodes-8-10gbe", "nodes-32-infiniband"] {
      let cluster = try Cluster(contentsOf: folder + "/cluster-configs/\(name).yaml")
      #expect(cluster.ranks >= 1 && cluster.ranksPerNode <= cluster.cores)
    }
  }
}
