import ArgumentParser
import Chains
import Collectives
import Platform

struct StatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Shows what retort run would do with each step of a chain: keep, resume or train it, and why.",
    discussion: """
      Reads the chain file, its data and its models; trains nothing, evaluates nothing, writes nothing and takes no \
      lock. Also shows whether another run is writing to a step's output directory.

      Examples:
        retort status chain.yaml
        retort status chain.yaml --set defaults.alpha=0.9 --json
      """)

  @Argument(help: "The chain file.") var chain: String
  @Option(
    name: .customLong("set"), help: "Overrides a value: KEY.PATH=VALUE, as in retort run. Repeatable.")
  var overrides: [String] = []
  @Option(help: "A directory in which hub ids are searched (default: RETORT_MODELS).") var modelsRoot: String?
  @Option(help: "Overrides the precision of every step, as in retort run: auto, fp32, bf16.")
  var precision: PrecisionOption?
  @Flag(help: "Prints one JSON object.") var json = false

  func run() throws {
    let forced = precision.map { ["steps.*.hyperparams.precision=\($0.rawValue)"] } ?? []
    let communicator = SoloCommunicator()
    let plan = try ChainPlan.make(
      ChainConfiguration(contentsOf: chain, overrides: overrides + forced),
      locator: ModelLocator(chainFile: chain, modelsRoot: modelsRoot), cacheDirectory: nil, checksPlacement: false,
      on: communicator)
    let outlook = try ChainRunner(plan, observer: ChainConsole(.plain, speaks: false), on: communicator).outlook()
    if json {
      let object: JSON = [
        "event": "status", "name": .string(plan.chain.metadata.name), "steps": .array(outlook.map(\.json)),
      ]
      Terminal.write(object.text() + "\n")
    } else {
      Terminal.write("chain \(plan.chain.metadata.name)\n")
      for step in outlook { Terminal.write("step \(step.id) in \(step.directory) \(step.text)\n") }
    }
    for remark in outlook.flatMap(\.remarks) { Terminal.write("warning: \(remark)\n", toError: true) }
  }
}
