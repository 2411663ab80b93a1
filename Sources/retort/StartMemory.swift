import Collectives
import Platform
import Tensors

/// Whether the limits of addresses leave room for the libraries, which wait, crash or say nothing where they get none.
enum StartMemory {
  /// Tensors, models, stacks and files of the smallest run.
  private static let smallest = 64 << 20

  /// Throws where there is no room for MPI and one thread of products; before MPI is touched.
  static func require() throws {
    var bytes = smallest + LinearAlgebraLibrary.threadBytes
    // MPI has buffers of its own and maps those of each rank on this machine.
    if MPISession.isLaunchedWithPeers { bytes += (48 << 20) + (8 << 20) * MPISession.launchedRanksHere }
    try OutOfMemory.require(
      bytes: bytes, for: "the start of a rank",
      remedy: "raise the limit, or start fewer ranks on a machine where the limit is divided among them")
  }

  /// Throws where there is no room for the buffers of so many threads.
  static func require(threads: Int) throws {
    try OutOfMemory.require(
      bytes: smallest + LinearAlgebraLibrary.threadBytes * threads,
      for: "a rank of \(threads) \(threads == 1 ? "thread" : "threads")",
      remedy: threads == 1
        ? "raise the limit" : "use fewer threads (parallel.threads_per_rank, OPENBLAS_NUM_THREADS), or raise the limit")
  }
}
