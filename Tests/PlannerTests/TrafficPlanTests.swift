import Planner
import Testing

@Suite struct TrafficPlanTests {
  private func cluster(nodes: Int, ranks: Int) -> Cluster {
    Cluster(
      name: "test", nodes: nodes, ranksPerNode: ranks, cores: ranks, memory: 64e9, memoryBandwidth: 100e9,
      diskBandwidth: 1e9, gigaflops: [.fp32: 50, .bf16: 100], within: .init(bandwidth: 10e9, latency: 1e-6),
      between: .init(bandwidth: 1e9, latency: 2e-5))
  }

  private func traffic(_ cluster: Cluster, _ wire: PlannedFormat = .fp32) throws -> TrafficPlan {
    var work = StepWork(
      student: try StepPlanTests.small, teachers: [], load: TokenLoad(sequences: 64, length: 128))
    (work.gradientWire, work.weightWire) = (wire, wire)
    return TrafficPlan(work, Layout(), on: cluster)
  }

  @Test func `ranks of a node send nothing, and a node sends as much however many ranks it has`() throws {
    #expect(try traffic(cluster(nodes: 1, ranks: 4)).total == 0)
    let one = try traffic(cluster(nodes: 2, ranks: 1))
    let four = try traffic(cluster(nodes: 2, ranks: 4))
    #expect(one[.gradients] > 0 && one[.gradients] == one[.weights])
    for kind in [TrafficKind.gradients, .weights] {
      // Buckets are padded to a multiple of the ranks.
      #expect(abs(4 * four[kind] - one[kind]) < 1e-3 * one[kind])
    }
  }

  @Test func `a wire of bf16 takes half of the gradients and of the weights that passes read rounded`() throws {
    let wide = try traffic(cluster(nodes: 4, ranks: 2))
    let narrow = try traffic(cluster(nodes: 4, ranks: 2), .bf16)
    #expect(narrow[.gradients] == wide[.gradients] / 2 && narrow[.rows] == wide[.rows])
    #expect((0.5..<0.51).contains(narrow[.weights] / wide[.weights]))
  }
}
