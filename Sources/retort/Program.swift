import ArgumentParser
import Collectives
import Foundation
import Platform
import Tensors

/// `retort`: parse, call, print.
struct Retort: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "retort",
    abstract: "Distils large models into small ones on CPU clusters.",
    discussion: """
      A chain file lists steps; each trains a student against its teacher's soft targets, and the student becomes the \
      next teacher. Start a command alone, or on several ranks:

        retort run chain.yaml
        mpirun -n 8 retort run chain.yaml
        srun --mpi=pmix retort run chain.yaml

      Exit codes: 0 done; 1 unexpected; 2 usage or configuration; 3 input data or model refused; 4 preflight refused; \
      5 numerical failure; 6 checkpoint or output could not be written or read; 7 a peer rank failed or hangs; \
      75 stopped on request.

      Environment: RETORT_MODELS (models root), RETORT_CACHE (tokens, teacher signals; off keeps nothing), \
      RETORT_ISA (baseline, avx2, avx512, avx512bf16), RETORT_PROGRESS (bar, lines), RETORT_MPI_CHUNK_BYTES, \
      RETORT_OPENBLAS_CORETYPE (a core type, or keep).
      """,
    version: Program.version,
    subcommands: [
      RunCommand.self, StatusCommand.self, PlanCommand.self, PredictCommand.self, EvaluateCommand.self,
      GenerateCommand.self,
      InspectCommand.self, DoctorCommand.self, BenchCommand.self, DemoCommand.self, CacheCommand.self,
    ])
}

/// A command that runs on all ranks of a job.
protocol RankCommand: ParsableCommand {
  /// Does the work; collective. Throws `RetortError`.
  func run(on communicator: any Communicator) throws
}

enum Program {
  static let version = "0.1.0"

  /// Parses, runs, reports an error once, and ends the process with the documented code.
  static func run() -> Never {
    let parsed = Result { try Retort.parseAsRoot() }
    if case .success(let command) = parsed, command is RunCommand {
      StopRequest.listen()
    } else {
      StopRequest.release()
    }
    // Ranks with different command lines must detect it before one of them ends and the others wait for it.
    if MPISession.isLaunchedWithPeers { exit(asJob(parsed)) }
    do {
      var command = try parsed.get()
      try KernelSet.requireKnown()
      if let command = command as? any RankCommand { exit(onAllRanks { try command.run(on: $0) }) }
      try command.run()
      try Terminal.requireWritten()
      exit(0)
    } catch { exit(report(error)) }
  }

  /// Runs the command as one of several ranks; a command without ranks runs on rank 0 alone.
  private static func asJob(_ parsed: Result<any ParsableCommand, any Error>) -> Int32 {
    var outcome: Int32 = 0
    let code = onAllRanks { communicator in
      if let command = (try? parsed.get()) as? any RankCommand { return try command.run(on: communicator) }
      if communicator.isFirst {
        do {
          var command = try parsed.get()
          try command.run()
        } catch { outcome = report(error) }
      }
      outcome = Int32(try communicator.broadcast(Int(outcome)))
    }
    return code == 0 ? outcome : code
  }

  /// Reports the error that ended a command outside of ranks; returns the exit code.
  private static func report(_ error: any Error) -> Int32 {
    let isHelp = Retort.exitCode(for: error) == .success
    let text = (error as? RetortError).map { "retort: \($0.description)" } ?? Retort.fullMessage(for: error)
    if MPISession.launchedRank == 0 { Terminal.write(text + "\n", toError: !isHelp) }
    if let error = error as? RetortError { return error.kind.rawValue }
    return isHelp ? lost(0) : RetortError.Kind.configuration.rawValue
  }

  private static func onAllRanks(_ body: (any Communicator) throws -> Void) -> Int32 {
    var communicator: (any Communicator)?
    do {
      try StartMemory.require()
      let started = try MPISession.start()
      communicator = started
      try started.agree { try KernelSet.requireKnown() }
      try started.requireEqual(started.agree { try fingerprints })
      for note in try Watchdog.start(on: started) + libraryNotes(on: started) {
        Terminal.write("retort: \(note)\n", toError: true)
      }
      try Threads.configure(on: started)
      try body(started)
      MPISession.finish()
      return lost(0)
    } catch {
      return end(RetortError.wrap(error), communicator)
    }
  }

  /// The exit code of a command that did its work: `code`, or that of the reported error if its output was lost.
  private static func lost(_ code: Int32) -> Int32 {
    do { try Terminal.requireWritten() } catch {
      let error = RetortError.wrap(error)
      Terminal.write("retort: \(error.description)\n", toError: true)
      return error.kind.rawValue
    }
    return code
  }

  /// The values that must be equal on all ranks of a job, since they decide what a rank does.
  ///
  /// Throws if there is no memory to read the program.
  private static var fingerprints: [Fingerprint] {
    get throws {
      var binary = "unknown"
      do { binary = String(try Checksum.ofFile("/proc/self/exe").value, radix: 16) } catch {
        if RetortError.wrap(error).kind == .preflight { throw error }
      }
      return fingerprints(ofBinary: binary)
    }
  }

  /// The variables of Retort that decide what a rank computes or how it exchanges.
  ///
  /// Others may differ: paths (RETORT_CACHE, RETORT_MODELS), since the content of files is compared when they are read;
  /// RETORT_PROGRESS, since only rank 0 shows progress; RETORT_RESTARTED and RETORT_CORE, which concern one process;
  /// variables of job scripts, which a remote shell does not pass on. A test holds the list against Sources.
  private static let comparedVariables: Set = [
    "RETORT_ISA", "RETORT_MPI_CHUNK_BYTES", "RETORT_OPENBLAS_CORETYPE", "RETORT_WATCHDOG_SECONDS",
  ]

  private static func fingerprints(ofBinary binary: String) -> [Fingerprint] {
    let environment = ProcessInfo.processInfo.environment
    let variables = environment.filter { variable in
      if comparedVariables.contains(variable.key) { return true }
      // oneDNN's variables may change products, except for those that make it verbose.
      return ["ONEDNN_", "DNNL_"].contains { variable.key.hasPrefix($0) } && !variable.key.hasSuffix("_VERBOSE")
    }
    let settings = variables.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    return [
      Fingerprint("the program", "retort \(version), checksum \(binary), \(MPISession.libraryVersion)"),
      Fingerprint("the command line", shellText(CommandLine.arguments.dropFirst())),
      Fingerprint("the environment", shellText(settings)),
      Fingerprint(
        "the instruction set of the kernels", KernelSet.name,
        remedy: "set RETORT_ISA on all ranks to one that every host has, such as avx2"),
    ]
  }

  /// A warning on rank 0 if library kernels differ between ranks: such jobs run, but results are no longer reproducible
  /// to the last bit.
  ///
  /// Variables that choose kernels (`OPENBLAS_CORETYPE`) are not compared, since Retort sets one depending on the CPU.
  private static func libraryNotes(on communicator: any Communicator) throws -> [String] {
    let names = try communicator.allGather(
      text: "OpenBLAS \(LinearAlgebraLibrary.coreName), bf16 \(LinearAlgebraLibrary.bf16Name)")
    let hosts = try communicator.allGather(text: communicator.hostName)
    guard communicator.isFirst, let other = names.firstIndex(where: { $0 != names[0] }) else { return [] }
    return [
      "matrix products differ between ranks: rank 0 on \(hosts[0]) has \(names[0]), rank \(other) on "
        + "\(hosts[other]) has \(names[other]). The student's last bits then depend on which rank is where; "
        + "OPENBLAS_CORETYPE and ONEDNN_MAX_CPU_ISA choose kernels that all hosts have"
    ]
  }

  /// Reports an error. One that all ranks share is reported once and ends the job normally; one of this rank alone
  /// aborts the job.
  private static func end(_ error: RetortError, _ communicator: (any Communicator)?) -> Int32 {
    let rank = communicator?.rank ?? MPISession.launchedRank
    let isAlone = communicator.map { $0.size == 1 } ?? (rank == 0)
    // Without a connection ranks cannot agree on who reports: rank 0 goes first, in case it has the same error.
    if communicator == nil, !error.isCollective, rank > 0 { sleep(5) }
    if error.isCollective || isAlone {
      if rank == 0 { Terminal.write("retort: \(error.description)\n", toError: true) }
      MPISession.finish()
      return error.kind.rawValue
    }
    let place = "rank \(rank) on \(communicator?.hostName ?? "this host")"
    Terminal.write("retort: \(error.located(place).description)\n", toError: true)
    MPISession.abort(error.kind.rawValue)
  }
}

/// The threads of a rank.
enum Threads {
  /// Sets the threads: from the chain file, else `OPENBLAS_NUM_THREADS`, else the machine's cores divided by its ranks.
  static func configure(on communicator: any Communicator, wanted: Int? = nil) throws {
    let local = try communicator.splitByNode().size
    // A launcher that binds ranks to cores has already divided them.
    let cores = min(
      ProcessInfo.processInfo.activeProcessorCount, max(1, ProcessInfo.processInfo.processorCount / local))
    let environment = try ProcessInfo.processInfo.environment["OPENBLAS_NUM_THREADS"].flatMap { text -> Int? in
      if text.isEmpty { return nil }
      guard let count = Int(text), 1...1024 ~= count else {
        throw RetortError(
          .configuration, "\"\(text)\" is not a number of threads from 1 to 1024",
          at: "environment variable OPENBLAS_NUM_THREADS",
          remedy: "unset it to divide the cores of this machine by its ranks")
      }
      return count
    }
    let count = wanted ?? environment ?? cores
    try communicator.agree { try StartMemory.require(threads: count) }
    LinearAlgebraLibrary.setThreads(count)
  }
}
