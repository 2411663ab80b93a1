import CMPI

/// A group of MPI ranks, made by `MPISession.start` and by `split`; see `Communicator` for the contract.
package final class MPICommunicator: Communicator {
  /// The rank of this process in this group, 0 ..< size; `split` renumbers ranks.
  package let rank: Int
  /// The number of ranks in the group.
  package let size: Int
  /// The name of this rank's machine, read once.
  package let hostName: String
  package var chunking: Chunking
  let handle: MPI_Comm
  let scratch = ScratchPool()
  let mailbox = SelfMailbox()
  /// The number of scratch blocks allocated since the start; constant in steady state.
  package var scratchAllocations: Int { scratch.allocations }
  /// Whether the handle is freed with this object; the world communicator is not.
  private let isOwned: Bool

  init(_ handle: MPI_Comm, isOwned: Bool, chunking: Chunking) throws {
    self.handle = handle
    self.isOwned = isOwned
    self.chunking = chunking
    var rank: Int32 = 0
    var size: Int32 = 0
    try check(MPI_Comm_rank(handle, &rank), "MPI_Comm_rank")
    try check(MPI_Comm_size(handle, &size), "MPI_Comm_size")
    self.rank = Int(rank)
    self.size = Int(size)
    hostName = currentHostName()
  }

  deinit {
    guard isOwned, cmpi_is_live() != 0 else { return }
    var freed: MPI_Comm? = handle
    MPI_Comm_free(&freed)
  }

  package func split(color: Int, key: Int) throws -> any Communicator {
    precondition((0...Int(Int32.max)).contains(color), "split: color \(color) is negative or too large")
    // MPI's keys are C ints, so the index in the sorted list of keys replaces the key.
    let keys = try allGather(key)
    let place = Set(keys).sorted().firstIndex(of: key) ?? 0
    var made: MPI_Comm?
    try check(MPI_Comm_split(handle, Int32(color), Int32(place), &made), "MPI_Comm_split")
    return try MPICommunicator(made!, isOwned: true, chunking: chunking)
  }

  package func splitByNode() throws -> any Communicator {
    var made: MPI_Comm?
    try check(
      MPI_Comm_split_type(handle, cmpi_comm_type_shared(), Int32(rank), cmpi_info_null(), &made),
      "MPI_Comm_split_type")
    return try MPICommunicator(made!, isOwned: true, chunking: chunking)
  }

  package func barrier() throws { try check(MPI_Barrier(handle), "MPI_Barrier") }

  package func progress() throws {
    var isThere: Int32 = 0
    try checkCode(
      MPI_Iprobe(cmpi_any_source(), cmpi_any_tag(), handle, &isThere, cmpi_status_ignore()), "MPI_Iprobe")
  }
}
