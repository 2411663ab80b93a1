/// The communicator of a process that runs alone: behaves as `MPICommunicator` on one rank, without MPI.
package final class SoloCommunicator: Communicator {
  /// The only rank, in a group of one.
  package let rank = 0
  package let size = 1
  /// The name of this machine, read once.
  package let hostName: String
  package var chunking: Chunking
  private let mailbox = SelfMailbox()

  /// Makes a group of one rank.
  package init(chunking: Chunking = Chunking()) {
    self.chunking = chunking
    hostName = currentHostName()
  }

  package func split(color: Int, key: Int) throws -> any Communicator {
    precondition(color >= 0, "split: color \(color) is negative")
    return SoloCommunicator(chunking: chunking)
  }

  package func splitByNode() throws -> any Communicator { SoloCommunicator(chunking: chunking) }

  package func barrier() throws {}
  package func progress() throws {}

  package func broadcast<T: CollectiveElement>(_ buffer: UnsafeMutableBufferPointer<T>, root: Int) throws {
    checkRank(root, "broadcast")
  }

  package func allReduce<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, _ reduction: Reduction
  ) throws {}

  package func allGather<T: CollectiveElement>(_ buffer: UnsafeMutableBufferPointer<T>) throws {}

  package func allGather<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>, counts: [Int]
  ) throws {
    checkGather(send: send.count, receive: receive.count, counts: counts, "allGather")
    copy(send, to: receive)
  }

  package func gather<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>?, counts: [Int], root: Int
  ) throws {
    checkRank(root, "gather")
    checkGather(send: send.count, receive: receive?.count ?? 0, counts: counts, "gather")
    if let receive { copy(send, to: receive) }
  }

  package func send<T: CollectiveElement>(_ buffer: UnsafeBufferPointer<T>, to destination: Int, tag: Int) throws {
    checkRank(destination, "send")
    checkTag(tag, "send")
    try mailbox.send(UnsafeRawBufferPointer(buffer), tag: tag)
  }

  package func receive<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, from source: Int, tag: Int
  ) throws {
    checkRank(source, "receive")
    checkTag(tag, "receive")
    try mailbox.receive(into: UnsafeMutableRawBufferPointer(buffer), tag: tag)
  }

  package func iAllReduce<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, _ reduction: Reduction, keeping owner: AnyObject?
  ) throws -> PendingOperation { .completed() }

  package func iReduceScatter<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>, keeping owner: AnyObject?
  ) throws -> PendingOperation {
    checkReduceScatter(send: send.count, receive: receive.count)
    copy(send, to: receive)
    return .completed()
  }

  package func iAllGather<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, keeping owner: AnyObject?
  ) throws -> PendingOperation { .completed() }

  package func iSend<T: CollectiveElement>(
    _ buffer: UnsafeBufferPointer<T>, to destination: Int, tag: Int, keeping owner: AnyObject?
  ) throws -> PendingOperation {
    try send(buffer, to: destination, tag: tag)
    return .completed()
  }

  package func iReceive<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, from source: Int, tag: Int, keeping owner: AnyObject?
  ) throws -> PendingOperation {
    checkRank(source, "receive")
    checkTag(tag, "receive")
    return try mailbox.expect(into: UnsafeMutableRawBufferPointer(buffer), tag: tag, keeping: owner)
  }

  /// A copy that allows the buffers to be the same.
  private func copy<T: CollectiveElement>(_ source: UnsafeBufferPointer<T>, to target: UnsafeMutableBufferPointer<T>) {
    UnsafeMutableRawBufferPointer(target).copyMemory(from: UnsafeRawBufferPointer(source))
  }
}
