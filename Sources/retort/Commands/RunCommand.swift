import ArgumentParser
import Chains
import Collectives
import Datasets
import Platform
import Tensors

extension LogFormat: ExpressibleByArgument {}

/// The number format of a command.
enum PrecisionOption: String, CaseIterable, ExpressibleByArgument {
  case auto, fp32, bf16

  /// The precision: auto is bf16 if the CPU of every rank multiplies it natively. Collective.
  func resolved(on communicator: any Communicator) throws -> Precision {
    switch self {
    case .auto: try communicator.all(Precision.native == .bf16) ? .bf16 : .fp32
    case .fp32: .fp32
    case .bf16: .bf16
    }
  }
}

struct RunCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Runs or resumes a chain.",
    discussion: """
      Committed steps are kept, and interrupted training resumes from its checkpoint. A step whose inputs have changed \
      (values, teacher, base, data, tokenizer) is retrained, and so are the steps that depend on it; its old student \
      stays until the new one is committed. retort status shows beforehand what a run does with each step.

      Examples:
        retort run chain.yaml --dry-run
        mpirun -n 4 retort run chain.yaml --set steps.0.hyperparams.batch_size=64
      """)

  @Argument(help: "The chain file.") var chain: String
  @Option(
    name: .customLong("set"),
    help: "Overrides a value: KEY.PATH=VALUE, such as steps.0.hyperparams.batch_size=64. Repeatable.")
  var overrides: [String] = []
  @Flag(help: "Fails if any output exists, instead of resuming.") var fresh = false
  @Flag(
    help: "Also writes to an output_dir with files of another origin; files in the way are kept in training/replaced.")
  var overwrite = false
  @Flag(help: "Takes an output_dir from the run that holds its lock; that run then ends with exit code 6.")
  var breakLock = false
  @Flag(help: "Validates, resolves, runs the preflight and prints the plan; writes nothing.") var dryRun = false
  @Option(help: "plain (for people) or json (one object per line).") var logFormat: LogFormat = .plain
  @Option(help: "A directory in which hub ids are searched (default: RETORT_MODELS).") var modelsRoot: String?
  @Option(help: "Overrides the precision of every step: auto, fp32, bf16.") var precision: PrecisionOption?
  @OptionGroup var timeline: TraceOptions

  func run(on communicator: any Communicator) throws {
    let console = ChainConsole(logFormat, speaks: communicator.isFirst, isResult: dryRun)
    if dryRun {
      try timeline.requireWritable(on: communicator)
      return try perform(console, communicator)
    }
    try timeline.record(on: communicator, note: console.note) { try perform(console, communicator) }
  }

  private func perform(_ console: ChainConsole, _ communicator: any Communicator) throws {
    let configuration = try communicator.agree {
      let forced = precision.map { ["steps.*.hyperparams.precision=\($0.rawValue)"] } ?? []
      return try ChainConfiguration(contentsOf: chain, overrides: overrides + forced)
    }
    try communicator.requireEqual(configuration.digestText, label: "the chain file")
    Watchdog.setLimits(configuration.parallel.watchdog)
    try Threads.configure(on: communicator, wanted: configuration.parallel.threadsPerRank)
    let cacheDirectory = dryRun || !configuration.parallel.keepsCache ? nil : CacheDirectory.path()
    try communicator.agree {
      if !dryRun, cacheDirectory == nil, let location = configuration.streamedTeacher {
        throw RetortError(
          .configuration, "a streamed teacher is read from a file in the cache directory, but there is none",
          at: location,
          remedy: "set RETORT_CACHE to a directory and parallel.cache to true, or use placement: sharded")
      }
    }
    let plan = try Trace.span("plan and data") {
      try ChainPlan.make(
        configuration, locator: ModelLocator(chainFile: chain, modelsRoot: modelsRoot),
        cacheDirectory: cacheDirectory, on: communicator)
    }
    plan.remarks.forEach(console.note)
    plan.warnings.forEach(console.warning)
    try communicator.requireNoStop("before the first step; nothing has been written")
    var permissions = OutputPermissions()
    (permissions.overwrites, permissions.breaksLocks, permissions.isFresh) = (overwrite, breakLock, fresh)
    let runner = ChainRunner(plan, observer: console, permissions: permissions, on: communicator)
    try runner.checkOutputs()
    if dryRun {
      let outlook = try runner.outlook()
      try runner.checkMemory(outlook)
      try runner.checkTeachers()
      outlook.flatMap(\.remarks).forEach(console.warning)
      console.say(plan.text(ranks: communicator.size, outlook), plan.json(outlook))
      return
    }
    defer { runner.releaseOutputs() }
    try runner.takeOutputs(command: CommandLine.arguments.joined(separator: " "))
    try runner.checkMemory()
    try runner.checkTeachers()
    try communicator.requireNoStop("before the first step; nothing has been trained")
    console.show(try runner.run())
  }
}
