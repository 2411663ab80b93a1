import Planner
import Testing

@Suite struct StepPlanTests {
  static let cluster = Cluster(
    name: "test", nodes: 4, ranksPerNode: 4, cores: 16, memory: 64e9, memoryBandwidth: 100e9, diskBandwidth: 1e9,
    gigaflops: [.fp32: 50, .bf16: 100], within: .init(bandwidth: 10e9, latency: 1e-6),
    between: .init(bandwidth: 1e9, latency: 2e-5))
  static var small: DecoderSizes {
    get throws {
      try decoder(
        vocabularySize: 32000, hiddenSize: 512, layerCount: 8, headCount: 8, intermediateSize: 1536, isTied: true)
    }
  }
  static var work: StepWork {
    get throws {
      try StepWork(
        student: small, teachers: [GoldenTests.llama2x7B], load: TokenLoad(sequences: 64, length: 1024),
        accumulation: 2)
    }
  }

  @Test(arguments: [1e-300, 1e-9, 1e300]) func `figures beyond whole numbers of 64 bits are written as they are`(
    scale: Double
  ) throws {
    var cluster = StepPlanTests.cluster
    cluster.gigaflops = [.fp32: 50 * scale, .bf16: 100 * scale]
    cluster.within = .init(bandwidth: 10e9 * scale, latency: 1 / scale)
    cluster.between = cluster.within
    let plan = PlanComparison(try StepPlanTests.work, written: Layout(), on: cluster)
    #expect(plan.text(title: "step").contains("step"))
    #expect(!plan.json(id: "step").text().isEmpty)
  }

  @Test func `dividing more of the state needs less memory and never less traffic`() throws {
    // Buckets of three times this size are in memory beside sharded gradients.
    var work = try StepPlanTests.work
    work.bucketBytes = 1 << 20
    let plans = Layout.Sharding.allCases.map { StepPlan(work, Layout(sharding: $0), on: StepPlanTests.cluster) }
    for (less, more) in zip(plans, plans.dropFirst()) {
      #expect(more.memory.trainer.total < less.memory.trainer.total, "\(more.layout.sharding)")
      #expect(more.traffic.total >= less.traffic.total, "\(more.layout.sharding)")
    }
  }

  /// Bytes that a rank has of weights and gradients in f32 and two moments of Ψ parameters on N ranks, of which a
  /// sharding divides the last, the last two or all by N (Rajbhandari et al., 2020): 16Ψ, 8Ψ + 8Ψ/N, 4Ψ + 12Ψ/N, 16Ψ/N.
  static func stateBytes(_ parameters: Double, ranks n: Double, _ sharding: Layout.Sharding) -> Double {
    switch sharding {
    case .none: 16 * parameters
    case .optimizer: 8 * parameters + 8 * parameters / n
    case .gradients: 4 * parameters + 12 * parameters / n
    case .parameters: 16 * parameters / n
    }
  }

  @Test func `the state of a rank follows the formulas up to padding and a bucket`() throws {
    // Two layers and no table by row, so that what is there for a bucket or two blocks is small.
    let model = try decoder(
      vocabularySize: 32000, hiddenSize: 1024, layerCount: 64, headCount: 8, intermediateSize: 4096, isTied: true)
    let work = StepWork(student: model, teachers: [], load: TokenLoad(sequences: 16, length: 128), bucketBytes: 1 << 20)
    for sharding in Layout.Sharding.allCases {
      let memory = StepPlan(work, Layout(sharding: sharding), on: StepPlanTests.cluster).memory.trainer
      let formula = StepPlanTests.stateBytes(Double(model.parameterCount), ranks: 16, sharding)
      let planned = memory[.weights] + memory[.gradients] + memory[.optimizer]
      // The table of 32,000 rows is a block and a bucket by itself: 131 MB, there as a whole up to four times.
      #expect(planned >= formula && planned - formula < 4 * 131.1e6 + 70e6, "\(sharding): \(planned) for \(formula)")
    }
  }

  @Test func `a teacher in N parts holds an Nth`() throws {
    let whole = Double(try GoldenTests.llama2x70B.frozenBytes(.bf16))
    let work = try StepWork(
      student: StepPlanTests.small, teachers: [GoldenTests.llama2x70B], load: TokenLoad(sequences: 64, length: 1024))
    for split in Layout.Split.allCases {
      let layout = Layout(placement: .sharded, teacherRanks: 16, split: split)
      let share = StepPlan(work, layout, on: StepPlanTests.cluster).memory.trainer[.teacher] / (whole / 16)
      #expect((1...1.2).contains(share), "\(split): \(share)")
    }
    let streamed = StepPlan(work, Layout(placement: .streamed), on: StepPlanTests.cluster).memory.trainer[.teacher]
    let layer = 855_654_400.0 * 2
    #expect(streamed > 2 * layer && streamed < 2.5 * layer)
  }

  @Test func `recomputing layers keeps their inputs alone`() throws {
    let plain = StepPlan(try StepPlanTests.work, Layout(), on: StepPlanTests.cluster)
    let again = StepPlan(try StepPlanTests.work, Layout(checkpointing: true), on: StepPlanTests.cluster)
    #expect(again.memory.trainer[.activations] < plain.memory.trainer[.activations] / 2)
    #expect(again.time[.student] > plain.time[.student] * 1.3)
  }

  @Test func `teachers on ranks of their own work while students do`() throws {
    let layout = Layout(placement: .dedicated, teacherRanks: 12, split: .pipeline, payload: .hidden)
    let plan = StepPlan(try StepPlanTests.work, layout, on: StepPlanTests.cluster)
    #expect(plan.time.total == max(plan.time.teaching, plan.time.training))
    #expect(plan.memory.teacher != nil)
    #expect(plan.traffic[.signals] > 0)
  }

  @Test func `the recommendation fits and none that fits is faster by more than a tenth`() throws {
    let comparison = PlanComparison(try StepPlanTests.work, written: Layout(), on: StepPlanTests.cluster)
    let best = try #require(comparison.recommended)
    #expect(best.fits && best.layout.payload.isExact)
    for plan in comparison.all where plan.fits && plan.layout.payload.isExact {
      #expect(plan.time.total * 1.1 >= best.time.total, "\(plan.layout)")
    }
  }

  @Test func `nothing is recommended where nothing fits`() throws {
    var tiny = StepPlanTests.cluster
    tiny.memory = 1e8
    let comparison = PlanComparison(try StepPlanTests.work, written: Layout(), on: tiny)
    #expect(comparison.recommended == nil)
    #expect(comparison.all.allSatisfy { $0.memory.node >= comparison.smallest.memory.node })
  }

  @Test func `one rank sends nothing`() throws {
    let plan = StepPlan(try StepPlanTests.work, Layout(), on: StepPlanTests.cluster.with(ranks: 1))
    #expect(plan.traffic.total == 0)
  }

  @Test func `messages between nodes share one network link`() throws {
    let cluster = StepPlanTests.cluster
    // Four ranks of a node send 12 of 15 parts of a gigabyte each over a link of 1 GB/s.
    #expect(abs(cluster.exchangeSeconds(1e9, group: 16, messages: 0) - 4 * 12.0 / 15) < 1e-9)
    #expect(abs(cluster.exchangeSeconds(1e9, group: 4, messages: 0) - 0.4) < 1e-9)
    #expect(cluster.exchangeSeconds(1e9, group: 1, messages: 5) == 0)
  }

  @Test func `text and JSON name the recommendation`() throws {
    let comparison = PlanComparison(try StepPlanTests.work, written: Layout(), on: StepPlanTests.cluster)
    let text = comparison.text(title: "step one")
    #expect(text.hasPrefix("step one\n") && text.contains("recommended: "))
    let json = comparison.json(id: "one")
    #expect(json["recommended"]?["fits"]?.bool == true)
    let kinds = try #require(json["written"]?["memory"]?.object)
    let total = try #require(kinds["total"]?.int)
    let sum = kinds.filter { $0.key != "total" && $0.key != "shared" }.compactMap(\.value.int).reduce(0, +)
    #expect(abs(sum - total) <= kinds.count)
  }
}
