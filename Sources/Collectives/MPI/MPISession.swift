import CMPI
import Foundation
import Platform

/// The connection of this process to its peers: started once, finished once.
///
/// MPI itself says whether it is live, so `finish` and `abort` are safe at any time and in any order.
package enum MPISession {
  /// Which threads call MPI.
  package enum Threading: Sendable {
    /// The thread that starts the session, and no other (MPI_THREAD_FUNNELED).
    case oneThread
    /// Any thread, one at a time (MPI_THREAD_SERIALIZED): for test runners that choose the thread.
    case oneAtATime
  }

  /// The rank that the launcher gave this process, known before `start`; 0 if it was started alone.
  ///
  /// For messages that one rank prints for all.
  package static var launchedRank: Int { LaunchEnvironment(ProcessInfo.processInfo.environment).rank }

  /// The number of ranks on this machine according to the launcher, known before `start`; 1 if it does not say.
  package static var launchedRanksHere: Int {
    ProcessInfo.processInfo.environment["OMPI_COMM_WORLD_LOCAL_SIZE"].flatMap { Int($0) }.map { min(max(1, $0), 4096) }
      ?? 1
  }

  /// Whether a launcher started several processes that can connect.
  package static var isLaunchedWithPeers: Bool {
    let launch = LaunchEnvironment(ProcessInfo.processInfo.environment)
    return launch.launcher != .none && launch.launcher != .strandedTasks && launch.size != 1
  }

  /// The name and version of the MPI library, such as "Open MPI v4.1.4, …"; works without a session.
  package static var libraryVersion: String {
    var text = [CChar](repeating: 0, count: Int(cmpi_max_library_version_string()) + 1)
    var length: Int32 = 0
    MPI_Get_library_version(&text, &length)
    return String(decoding: text.prefix(Int(length)).prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Whether MPI can be called.
  package static var isLive: Bool { cmpi_is_live() != 0 }

  /// Connects to the peers that the launcher started with this process; without a launcher the process is alone.
  ///
  /// Throws `.preflight` if several processes were started that cannot connect, and `.configuration` for a bad
  /// `RETORT_MPI_CHUNK_BYTES`; both collective. Call it once.
  package static func start(threading: Threading = .oneThread) throws -> any Communicator {
    let environment = ProcessInfo.processInfo.environment
    let launch = LaunchEnvironment(environment)
    if launch.launcher == .none { return SoloCommunicator(chunking: try Chunking(environment: environment)) }
    if launch.launcher == .strandedTasks { throw stranded(launch) }
    precondition(!isLive, "MPISession.start: a session is live already")

    let wanted = threading == .oneThread ? cmpi_thread_funneled() : cmpi_thread_serialized()
    var provided: Int32 = 0
    try check(MPI_Init_thread(nil, nil, wanted, &provided), "MPI_Init_thread")
    finishAtExit()
    let world = try MPICommunicator(cmpi_comm_world(), isOwned: false, chunking: Chunking())
    Faults.identify(rank: world.rank, host: world.hostName)
    if world.size == 1, let size = launch.size, size > 1 { throw stranded(launch) }
    try world.agree {
      guard provided >= wanted else {
        throw RetortError(
          .preflight, "this MPI library grants thread level \(provided), \(wanted) is needed", at: libraryVersion,
          remedy: "use an MPI library with thread support")
      }
      world.chunking = try Chunking(environment: environment)
    }
    let chunkBytes = String(world.chunking.bytes)
    try world.requireEqual(chunkBytes, label: "environment variable \(Chunking.variable)")
    return world
  }

  /// Finalises MPI; collective. Does nothing if MPI is not live.
  ///
  /// Print messages before it: the first rank that exits with a failure makes mpirun kill the others.
  package static func finish() {
    fflush(nil)
    guard isLive else { return }
    // MPI_Finalize with an operation in flight would wait for peers that may be gone.
    if abandonedOperations > 0 { abort(RetortError.Kind.peer.rawValue) }
    _ = Activity.waitingForPeers { MPI_Finalize() }
    // The watchdog runs until here, so that it also detects a rank that hangs while it ends.
    Watchdog.stop()
  }

  /// Ends this process and, under MPI, all its peers, with an exit code.
  package static func abort(_ code: Int32) -> Never {
    fflush(nil)
    if isLive { MPI_Abort(cmpi_comm_world(), code) }
    exit(code)
  }

  /// Finalises MPI if the process exits successfully without `finish`, as a test bundle does, and aborts the job if it
  /// exits with a failure, where MPI_Finalize could wait for peers forever.
  private static func finishAtExit() {
    on_exit(
      { status, _ in
        guard MPISession.isLive else { return }
        if status == 0 {
          MPISession.finish()
        } else {
          fflush(nil)
          MPI_Abort(cmpi_comm_world(), status)
        }
      }, nil)
  }

  /// The number of operations dropped before they were complete. Only the thread that calls MPI changes it.
  nonisolated(unsafe) private static var abandonedOperations = 0

  static func noteAbandonedOperation() { abandonedOperations += 1 }

  private static func stranded(_ launch: LaunchEnvironment) -> RetortError {
    let others = launch.size.map { "\($0) processes were" } ?? "Several processes were"
    var error = RetortError(
      .preflight,
      "\(others) started together, but they cannot connect, so each would train alone",
      at: currentHostName(),
      remedy: launch.launcher == .pmi
        ? "start them with the mpirun of this MPI library, or with `srun --mpi=pmix`"
        : "start them with `srun --mpi=pmix`, or with mpirun inside the allocation")
    error.isCollective = true
    return error
  }
}
