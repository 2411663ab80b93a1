import CMPI
import Platform

// The chunks of one buffer are messages with the same tag; MPI keeps their order.
extension MPICommunicator {
  package func send<T: CollectiveElement>(_ buffer: UnsafeBufferPointer<T>, to destination: Int, tag: Int) throws {
    checkRank(destination, "send")
    checkTag(tag, "send")
    if destination == rank {
      try mailbox.send(UnsafeRawBufferPointer(buffer), tag: tag)
    } else {
      try sendChunks(buffer, to: destination, tag: Int32(tag))
    }
  }

  func sendChunks<T: CollectiveElement>(_ buffer: UnsafeBufferPointer<T>, to destination: Int, tag: Int32) throws {
    guard let base = buffer.baseAddress else { return }
    Traffic.sent(bytes(of: buffer.count, T.self))
    for chunk in chunking.chunks(of: buffer.count, stride: MemoryLayout<T>.stride) {
      try check(
        MPI_Send(
          base + chunk.lowerBound, Int32(chunk.count), T.elementKind.datatype, Int32(destination), tag, handle),
        "MPI_Send")
    }
  }

  package func receive<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, from source: Int, tag: Int
  ) throws {
    checkRank(source, "receive")
    checkTag(tag, "receive")
    if source == rank {
      try mailbox.receive(into: UnsafeMutableRawBufferPointer(buffer), tag: tag)
      return
    }
    guard let base = buffer.baseAddress else { return }
    for chunk in chunking.chunks(of: buffer.count, stride: MemoryLayout<T>.stride) {
      var status = MPI_Status()
      try check(
        MPI_Recv(
          base + chunk.lowerBound, Int32(chunk.count), T.elementKind.datatype, Int32(source), Int32(tag), handle,
          &status),
        "MPI_Recv")
      var came: Int32 = 0
      try check(MPI_Get_count(&status, T.elementKind.datatype, &came), "MPI_Get_count")
      guard Int(came) == chunk.count else {
        throw RetortError(
          .peer, "a message of \(came) elements came where \(chunk.count) were expected (tag \(tag))",
          at: "rank \(rank) on \(hostName), from rank \(source)")
      }
    }
  }

  package func iSend<T: CollectiveElement>(
    _ buffer: UnsafeBufferPointer<T>, to destination: Int, tag: Int, keeping owner: AnyObject?
  ) throws -> PendingOperation {
    checkRank(destination, "send")
    checkTag(tag, "send")
    if destination == rank {
      try mailbox.send(UnsafeRawBufferPointer(buffer), tag: tag)
      return .completed()
    }
    guard let base = buffer.baseAddress, buffer.count > 0 else { return .completed() }
    let operation = MPIOperation(self, keeping: owner)
    Traffic.sent(bytes(of: buffer.count, T.self))
    for chunk in chunking.chunks(of: buffer.count, stride: MemoryLayout<T>.stride) {
      try operation.start("MPI_Isend") {
        MPI_Isend(
          base + chunk.lowerBound, Int32(chunk.count), T.elementKind.datatype, Int32(destination), Int32(tag), handle,
          $0)
      }
    }
    return operation
  }

  package func iReceive<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, from source: Int, tag: Int, keeping owner: AnyObject?
  ) throws -> PendingOperation {
    checkRank(source, "receive")
    checkTag(tag, "receive")
    if source == rank {
      return try mailbox.expect(into: UnsafeMutableRawBufferPointer(buffer), tag: tag, keeping: owner)
    }
    guard let base = buffer.baseAddress, buffer.count > 0 else { return .completed() }
    let operation = MPIOperation(self, keeping: owner)
    for chunk in chunking.chunks(of: buffer.count, stride: MemoryLayout<T>.stride) {
      try operation.start("MPI_Irecv") {
        MPI_Irecv(
          base + chunk.lowerBound, Int32(chunk.count), T.elementKind.datatype, Int32(source), Int32(tag), handle, $0)
      }
    }
    return operation
  }
}
