import ArgumentParser
import Benchmark
import Collectives
import Objectives
import Platform
import Training

struct BenchCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Times distillation steps of fixed shapes on random data; one JSON line per work.",
    discussion: """
      Start it as you would start a run. Examples:
        mpirun -n 2 retort bench --work bert-base-mini
        mpirun -n 2 retort bench --work bert-large-mini --lengths lengths.txt --steps 20
      """)

  @Option(help: "A work: \(BenchmarkWork.all.map(\.name).joined(separator: ", ")). Repeatable; default: all.")
  var work: [String] = []
  @Option(help: "Examples of an optimizer step on each rank.") var batch = 32
  @Option(help: "Tokens of an example; with --lengths the most tokens.") var seq = 128
  @Option(help: "Timed optimizer steps.") var steps = 8
  @Option(help: "Optimizer steps before the timed ones.") var warmup = 2
  @Option(help: "The number of times that the timed steps are repeated.") var epochs = 1
  @Option(help: "Timed optimizer steps between checkpoints, written to TMPDIR; by default none.") var saveSteps: Int?
  @Option(help: "fp32, bf16, or auto: bf16 if the CPU multiplies it natively.")
  var precision: PrecisionOption = .auto
  @Option(help: "How gradients travel between nodes: fp32 or bf16.") var gradients: ExchangeOptions.Wire = .fp32
  @Option(help: "How weights travel between nodes: fp32 or bf16.") var weights: ExchangeOptions.Wire = .fp32
  @Option(help: "The most ranks of a node that share memory; default: all.") var nodeRanks: Int?
  @Option(help: "A file with one real length per line.") var lengths: String?
  @Option(help: "An objective beside cross_entropy, instead of forward_kl; see docs/objectives.md. Repeatable.")
  var objective: [String] = []
  @OptionGroup var timeline: TraceOptions

  func validate() throws {
    for name in work where !BenchmarkWork.all.contains(where: { $0.name == name }) {
      throw ValidationError("no work \"\(name)\"; known are \(BenchmarkWork.all.map(\.name).joined(separator: ", "))")
    }
    for name in objective where ObjectiveRegistry.kind(name) == nil {
      throw ValidationError(
        "no objective \"\(name)\"; known are \(ObjectiveRegistry.names.joined(separator: ", "))")
    }
    try requireOption("--batch", batch, 1...100_000)
    // The models have 512 positions.
    try requireOption("--seq", seq, 1...512)
    try requireOption("--steps", steps, 1...1_000_000)
    try requireOption("--warmup", warmup, 0...1_000_000)
    if let saveSteps { try requireOption("--save-steps", saveSteps, 1...1_000_000) }
    try requireOption("--epochs", epochs, 1...1_000_000)
    if let nodeRanks { try requireOption("--node-ranks", nodeRanks, 1...1_000_000) }
  }

  func run(on communicator: any Communicator) throws {
    var options = BenchmarkOptions()
    (options.batch, options.sequence, options.steps) = (batch, seq, steps)
    (options.warmup, options.epochs) = (warmup, epochs)
    options.exchange = ExchangeOptions(gradients: gradients, weights: weights, nodeRanks: nodeRanks)
    options.saveSteps = saveSteps
    if !objective.isEmpty {
      let kinds = [ObjectiveRegistry.crossEntropy] + objective.compactMap(ObjectiveRegistry.kind)
      options.objective = DistillationObjective(kinds.map { ObjectiveTerm($0, weight: Scheduled(0.5)) })
    }
    options.precision = try precision.resolved(on: communicator)
    options.lengths = try communicator.agree { try lengths.map(BenchCommand.readLengths) }
    func note(_ text: String) { if communicator.isFirst { Terminal.write("retort: \(text)\n", toError: true) } }
    try timeline.record(on: communicator, note: note) {
      for name in work.isEmpty ? BenchmarkWork.all.map(\.name) : work {
        guard let work = BenchmarkWork.all.first(where: { $0.name == name }) else { continue }
        let line = try Trace.span(named: work.name) {
          try BenchmarkRun.time(work, options, version: Program.version, on: communicator)
        }
        if communicator.isFirst { Terminal.write(line.text() + "\n") }
      }
    }
  }

  private static func readLengths(_ path: String) throws -> [Int] {
    let lines = String(decoding: try readFile(path), as: UTF8.self).split(separator: "\n")
    let lengths = try lines.enumerated().map { index, line in
      guard let length = Int(line), length > 0 else {
        throw RetortError(.input, "\"\(line)\" is not a positive integer", at: "\(path):\(index + 1)")
      }
      return length
    }
    if lengths.isEmpty { throw RetortError(.input, "has no lengths", at: path) }
    return lengths
  }
}

extension ExchangeOptions.Wire: ExpressibleByArgument {}
