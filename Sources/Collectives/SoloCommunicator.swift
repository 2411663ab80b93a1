/// The communicator of a process that runs alone: behaves as `MPICommunicator` on one rank, without MPI.
public final class SoloCommunicator: Communicator {
  /// The only rank, in a group of one.
  public let rank = 0
  public let size = 1
  /// The name of this machine, read once.
  public let hostName: String
  public var chunking: Chunking
  private let mailbox = SelfMailbox()

  /// Makes a group of one rank.
  public init(chunking: Chunking = Chunking()) {
    self.chunking = chunking
    hostName = currentHostName()
  }

  public func split(color: Int, key: Int) throws -> any Communicator {
    precondition(color >= 0, "split: color \(color) is negative")
    return SoloCommunicator(chunking: chunking)
  }

  public func splitByNode() throws -> any Communicator { SoloCommunicator(chunking: chunking) }

  public func barrier() throws {}

  public func broadcast<T: CollectiveElement>(_ buffer: UnsafeMutableBufferPointer<T>, root: Int) throws {
    checkRank(root, "broadcast")
  }

  public func allReduce<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, _ reduction: Reduction
  ) throws {}

  public func allGather<T: CollectiveElement>(_ buffer: UnsafeMutableBufferPointer<T>) throws {}

  public func allGather<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>, counts: [Int]
  ) throws {
    checkGather(send: send.count, receive: receive.count, counts: counts, "allGather")
    copy(send, to: receive)
  }

  public func gather<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>?, counts: [Int], root: Int
  ) throws {
    checkRank(root, "gather")
    checkGather(send: send.count, receive: receive?.count ?? 0, counts: counts, "gather")
    if let receive { copy(send, to: receive) }
  }

  public func send<T: CollectiveElement>(_ buffer: UnsafeBufferPointer<T>, to destination: Int, tag: Int) throws {
    checkRank(destination, "send")
    checkTag(tag, "send")
    try mailbox.send(UnsafeRawBufferPointer(buffer), tag: tag)
  }

  public func receive<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, from source: Int, tag: Int
  ) throws {
    checkRank(source, "receive")
    checkTag(tag, "receive")
    try mailbox.receive(into: UnsafeMutableRawBufferPointer(buffer), tag: tag)
  }

  public func iAllReduce<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, _ reduction: Reduction, keeping owner: AnyObject?
  ) throws -> PendingOperation { .completed() }

  public func iReduceScatter<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>, keeping owner: AnyObject?
  ) throws -> PendingOperation {
    checkReduceScatter(send: send.count, receive: receive.count)
    copy(send, to: receive)
    return .completed()
  }

  public func iAllGather<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, keeping owner: AnyObject?
  ) throws -> PendingOperation { .completed() }

  public func iSend<T: CollectiveElement>(
    _ buffer: UnsafeBufferPointer<T>, to destination: Int, tag: Int, keeping owner: AnyObject?
  ) throws -> PendingOperation {
    try send(buffer, to: destination, tag: tag)
    return .completed()
  }

  public func iReceive<T: CollectiveElement>(
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
