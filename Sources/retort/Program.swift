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
      5 numerical failure; 6 checkpoint or output could not be written or read; 7 a peer rank failed; \
      75 stopped on request.

      Environment: RETORT_MODELS (models root), RETORT_CACHE (tokens, teacher signals), \
      RETORT_ISA (baseline, avx2, avx512, avx512bf16), RETORT_PROGRESS (bar, lines), RETORT_MPI_CHUNK_BYTES, \
      RETORT_OPENBLAS_CORETYPE (a core type, or keep).
      """,
    version: Program.version,
    subcommands: [
      RunCommand.self, StatusCommand.self, PlanCommand.self, PredictCommand.self, EvaluateCommand.self,
      GenerateCommand.self,
      InspectCommand.self, DoctorCommand.self, BenchCommand.self, DemoCommand.self,
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
    do {
      var command = try Retort.parseAsRoot()
      if let command = command as? any RankCommand {
        exit(onAllRanks(command))
      }
      try command.run()
      try Terminal.requireWritten()
      exit(0)
    } catch {
      let isHelp = Retort.exitCode(for: error) == .success
      if MPISession.launchedRank == 0 {
        let text = (error as? RetortError).map { "retort: \($0.description)" } ?? Retort.fullMessage(for: error)
        Terminal.write(text + "\n", toError: !isHelp)
      }
      if let error = error as? RetortError { exit(error.kind.rawValue) }
      exit(isHelp ? lost(0) : RetortError.Kind.configuration.rawValue)
    }
  }

  private static func onAllRanks(_ command: any RankCommand) -> Int32 {
    var communicator: (any Communicator)?
    do {
      let started = try MPISession.start()
      communicator = started
      try Threads.configure(on: started)
      try started.requireEqual(build, label: "the program")
      try command.run(on: started)
      MPISession.finish()
      return lost(0)
    } catch {
      return end(RetortError.wrap(error), communicator)
    }
  }

  /// The exit code of a command that did its work: that of an error, which is said, where its results were lost.
  private static func lost(_ code: Int32) -> Int32 {
    do { try Terminal.requireWritten() } catch {
      let error = RetortError.wrap(error)
      Terminal.write("retort: \(error.description)\n", toError: true)
      return error.kind.rawValue
    }
    return code
  }

  /// What must be equal on all ranks of a job.
  private static var build: String {
    let binary = (try? MappedFile("/proc/self/exe")).map { "\($0.bytes.count)" } ?? "unknown"
    return "retort \(version) of \(binary) bytes, \(MPISession.libraryVersion)"
  }

  /// An error that all ranks share is said once and ends the job in order; one that only this rank has ends the job.
  private static func end(_ error: RetortError, _ communicator: (any Communicator)?) -> Int32 {
    let (rank, size) = (communicator?.rank ?? MPISession.launchedRank, communicator?.size ?? 1)
    if error.isCollective || size == 1 {
      if rank == 0 { Terminal.write("retort: \(error.description)\n", toError: true) }
      MPISession.finish()
      return error.kind.rawValue
    }
    let place = "rank \(rank) on \(communicator?.hostName ?? "this host")"
    Terminal.write("retort: \(error.located(place).description)\n", toError: true)
    MPISession.abort(error.kind.rawValue)
  }
}

/// Threads of the linear algebra library.
enum Threads {
  /// Cores of this machine divided by the ranks on it, unless `OPENBLAS_NUM_THREADS` or the chain file says otherwise.
  static func configure(on communicator: any Communicator, wanted: Int? = nil) throws {
    let local = try communicator.splitByNode().size
    // A launcher that binds ranks to cores has divided them already.
    let cores = min(
      ProcessInfo.processInfo.activeProcessorCount, max(1, ProcessInfo.processInfo.processorCount / local))
    let environment = ProcessInfo.processInfo.environment["OPENBLAS_NUM_THREADS"].flatMap { Int($0) }
    LinearAlgebraLibrary.setThreads(wanted ?? environment ?? cores)
  }
}
