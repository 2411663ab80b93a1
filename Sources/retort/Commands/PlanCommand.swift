import ArgumentParser
import Chains
import Planner
import Platform

struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Shows what a chain needs on a cluster before anything runs: memory, bytes on the wire, time.",
    discussion: """
      Reads the chain file and the config.json of its models; needs neither data nor weights nor MPI. Compares the \
      placements of the teacher and the shardings of the student, and recommends the fastest layout that fits.

      Examples:
        retort plan chain.yaml --cluster cluster-configs/nodes-8-10gbe.yaml
        retort plan chain.yaml --cluster cluster-configs/laptop.yaml --ranks 2 --json
      """)

  @Argument(help: "The chain file.") var chain: String
  @Option(help: "The cluster description, such as cluster-configs/laptop.yaml.") var cluster: String
  @Option(help: "The number of ranks to use (default: all of the cluster).") var ranks: Int?
  @Option(help: "Mean tokens of an example (default: max_length).") var length: Int?
  @Option(help: "Training examples, for the time of runs whose length is given in epochs.") var examples: Int?
  @Option(
    name: .customLong("set"), help: "Overrides a value: KEY.PATH=VALUE, as in retort run. Repeatable.")
  var overrides: [String] = []
  @Option(help: "A directory in which hub ids are searched (default: RETORT_MODELS).") var modelsRoot: String?
  @Flag(help: "Prints JSON with all figures of all layouts.") var json = false

  func validate() throws {
    for (name, value) in [("--ranks", ranks), ("--length", length), ("--examples", examples)] {
      try requireOption(name, value, 1...largestCount)
    }
  }

  func run() throws {
    var described = try Cluster(contentsOf: cluster)
    if let ranks {
      guard ranks <= described.ranks else {
        throw RetortError(
          .configuration, "\(ranks) ranks are requested, but \(cluster) has \(described.ranks)", at: "--ranks",
          remedy: "raise nodes or ranks_per_node there")
      }
      guard ranks <= described.ranksPerNode || ranks % described.ranksPerNode == 0 else {
        throw RetortError(
          .configuration, "\(ranks) ranks do not fill whole nodes of \(described.ranksPerNode) ranks", at: "--ranks",
          remedy: "give a multiple of \(described.ranksPerNode), or at most \(described.ranksPerNode)")
      }
      described = described.with(ranks: ranks)
    }
    let cost = try ChainCost(
      ChainConfiguration(contentsOf: chain, overrides: overrides), on: described,
      locator: ModelLocator(chainFile: chain, modelsRoot: modelsRoot),
      assuming: ChainCost.Assumptions(length: length, examples: examples))
    Terminal.write((json ? cost.json.text() : cost.text) + "\n")
    for warning in cost.warnings { Terminal.write("warning: \(warning)\n", toError: true) }
    try cost.requireFit()
  }
}
