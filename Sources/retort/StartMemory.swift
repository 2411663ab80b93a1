import Collectives
import Platform
import Tensors

/// Checks that the limits leave address space for the libraries, which otherwise hang, crash or fail silently.
enum StartMemory {
  /// Bytes for tensors, models, stacks and files of the smallest run.
  private static let smallest = 64 << 20

  /// Throws if there is no address space for MPI and one thread of products; called before MPI starts.
  static func require() throws {
    var bytes = smallest + LinearAlgebraLibrary.threadBytes
    // MPI has its own buffers and maps those of each rank on this machine.
    if MPISession.isLaunchedWithPeers { bytes += (48 << 20) + (8 << 20) * MPISession.launchedRanksHere }
    try OutOfMemory.require(
      bytes: bytes, for: "the start of a rank",
      remedy: "raise the limit, or start fewer ranks per machine if they share the limit")
  }

  /// Throws if there is no address space for the buffers of `threads` threads.
  static func require(threads: Int) throws {
    try OutOfMemory.require(
      bytes: smallest + LinearAlgebraLibrary.threadBytes * threads,
      for: "a rank of \(threads) \(threads == 1 ? "thread" : "threads")",
      remedy: threads == 1
        ? "raise the limit" : "use fewer threads (parallel.threads_per_rank, OPENBLAS_NUM_THREADS), or raise the limit")
  }
}
