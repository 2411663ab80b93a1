import CMPI
import Platform

// All chunks of an operation are started at once: MPI requires the same order of nonblocking collectives on all ranks,
// which a window that moves with each rank's progress would break.
extension MPICommunicator {
  package func iAllReduce<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, _ reduction: Reduction, keeping owner: AnyObject?
  ) throws -> PendingOperation {
    guard let base = buffer.baseAddress, buffer.count > 0 else { return .completed() }
    let operation = MPIOperation(self, keeping: owner)
    operation.transfer = Trace.transfer("allreduce", bytes: bytes(of: buffer.count, T.self))
    Traffic.sent(2 * bytes(of: buffer.count, T.self) * (size - 1) / size)
    for chunk in chunking.chunks(of: buffer.count, stride: MemoryLayout<T>.stride) {
      try operation.start("MPI_Iallreduce") {
        MPI_Iallreduce(
          cmpi_in_place(), base + chunk.lowerBound, Int32(chunk.count), T.elementKind.datatype, reduction.operation,
          handle, $0)
      }
    }
    return operation
  }

  package func iReduceScatter<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>, keeping owner: AnyObject?
  ) throws -> PendingOperation {
    checkReduceScatter(send: send.count, receive: receive.count)
    guard let source = send.baseAddress, let target = receive.baseAddress, receive.count > 0 else {
      return .completed()
    }
    let chunks = chunking.blockChunks(of: receive.count, stride: MemoryLayout<T>.stride, ranks: size)
    var types = BlockTypes(T.self, blockCount: receive.count)
    let transfer = Trace.transfer("reduce-scatter", bytes: bytes(of: send.count, T.self))
    Traffic.sent((size - 1) * bytes(of: receive.count, T.self))
    let operation = try exchangeAndSum(source, target, Array(chunks), &types, keeping: owner)
    operation.transfer = transfer
    return operation
  }

  /// Starts the exchange of some chunks of the blocks; each chunk is summed in rank order when it has arrived.
  ///
  /// MPI_Ireduce_scatter_block would reduce to one rank and scatter from there (Open MPI 4.1), and its order of
  /// summation is unspecified. Scratch holds [P, width] for each chunk.
  func exchangeAndSum<T: CollectiveElement>(
    _ source: UnsafePointer<T>, _ target: UnsafeMutablePointer<T>, _ chunks: [Range<Int>], _ types: inout BlockTypes,
    keeping owner: AnyObject?
  ) throws -> MPIOperation {
    let ranks = size
    let first = chunks[0].lowerBound
    let total = chunks.reduce(0) { $0 + $1.count }
    let lease = scratch.lease(bytes: ranks * total * MemoryLayout<T>.stride)
    let parts = lease.bind(to: T.self)
    let operation = MPIOperation(self, keeping: owner) { index in
      let chunk = chunks[index]
      T.sum(
        parts: parts + ranks * (chunk.lowerBound - first), partCount: ranks, stride: chunk.count,
        into: target + chunk.lowerBound, count: chunk.count)
    }
    for chunk in chunks {
      let type = try types.type(width: chunk.count)
      try operation.start("MPI_Ialltoall") {
        MPI_Ialltoall(
          source + chunk.lowerBound, 1, type, parts + ranks * (chunk.lowerBound - first), Int32(chunk.count),
          T.elementKind.datatype, handle, $0)
      }
    }
    operation.keep([lease] + types.all)
    return operation
  }

  package func iAllGather<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, keeping owner: AnyObject?
  ) throws -> PendingOperation {
    let blockCount = blockCount(of: buffer.count, "allGather")
    guard let base = buffer.baseAddress, blockCount > 0 else { return .completed() }
    let operation = MPIOperation(self, keeping: owner)
    operation.transfer = Trace.transfer("all-gather", bytes: bytes(of: buffer.count, T.self))
    Traffic.sent((size - 1) * bytes(of: blockCount, T.self))
    var types = BlockTypes(T.self, blockCount: blockCount)
    for chunk in chunking.blockChunks(of: blockCount, stride: MemoryLayout<T>.stride, ranks: size) {
      let type = try types.type(width: chunk.count)
      try operation.start("MPI_Iallgather") {
        MPI_Iallgather(cmpi_in_place(), 0, type, base + chunk.lowerBound, 1, type, handle, $0)
      }
    }
    operation.keep(types.all)
    return operation
  }
}
