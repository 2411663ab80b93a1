/// A group of ranks that exchange buffers.
///
/// There are two twins: `MPICommunicator`, and `SoloCommunicator` for a process that was started alone.
/// Legend: P is `size`; a buffer of "P blocks" holds block 0 … block P−1 one after the other.
///
/// - Every method except send and receive is collective: all ranks call it, in the same order, with the same counts,
///   reduction, root and chunking. Unequal counts end the job (MPI's error handler stays fatal).
/// - Counts are `Int`; a call goes out in messages that `chunking` bounds. Empty buffers send nothing.
/// - Sums of the same input on the same number of ranks give the same bits each time, on every rank.
/// - Calls come from one thread at a time (the main thread in the command), so the types are not `Sendable`.
/// - Buffers of nonblocking forms stay alive and untouched until the operation is complete; pass their owner as
///   `keeping` to have that done. Nonblocking collectives are started in the same order on all ranks.
public protocol Communicator: AnyObject {
  /// This process, 0 ..< size.
  var rank: Int { get }
  /// How many ranks take part.
  var size: Int { get }
  /// The name of the machine that this rank runs on.
  var hostName: String { get }
  /// How buffers are cut into messages; set it alike on all ranks, with no operation pending.
  var chunking: Chunking { get set }

  /// The ranks that gave the same `color` (≥ 0), ordered by `key`, then by rank.
  func split(color: Int, key: Int) throws -> any Communicator
  /// The ranks that share memory with this one.
  func splitByNode() throws -> any Communicator

  /// Returns when every rank has called it.
  func barrier() throws
  /// Copies the root's buffer to all.
  func broadcast<T: CollectiveElement>(_ buffer: UnsafeMutableBufferPointer<T>, root: Int) throws
  /// buffer[i] = the reduction of buffer[i] over all ranks, on every rank.
  func allReduce<T: CollectiveElement>(_ buffer: UnsafeMutableBufferPointer<T>, _ reduction: Reduction) throws
  /// receive [n] = Σ over ranks of block `rank` of send [P·n], summed in rank order.
  ///
  /// `receive` may be block `rank` of `send` itself.
  func reduceScatter<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>) throws
  /// In a buffer of P blocks, of which each rank has filled its own, fills the others.
  func allGather<T: CollectiveElement>(_ buffer: UnsafeMutableBufferPointer<T>) throws
  /// receive = the `send` of rank 0, rank 1, … one after the other; counts [P] are their lengths, known to all.
  func allGather<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>, counts: [Int]) throws
  /// On the root, receive = the `send` of rank 0, rank 1, …; counts [P] are their lengths.
  ///
  /// Others pass nil for `receive`; their counts are not looked at.
  func gather<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>?, counts: [Int], root: Int) throws
  /// Block r of receive = block `rank` of rank r's send; both have P blocks and do not overlap.
  func allToAll<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>) throws

  /// Sends to one rank; may return before it is received. `tag` is 0 ... 32766. Sending to the own rank never blocks.
  func send<T: CollectiveElement>(_ buffer: UnsafeBufferPointer<T>, to destination: Int, tag: Int) throws
  /// Receives what `source` sent with this tag; the counts of both sides must be equal.
  func receive<T: CollectiveElement>(_ buffer: UnsafeMutableBufferPointer<T>, from source: Int, tag: Int) throws

  /// `allReduce`, nonblocking.
  func iAllReduce<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, _ reduction: Reduction, keeping owner: AnyObject?
  ) throws -> PendingOperation
  /// `reduceScatter`, nonblocking; each chunk is summed by the `test` or `wait` that finds it has come.
  func iReduceScatter<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>, keeping owner: AnyObject?
  ) throws -> PendingOperation
  /// `allGather` in place, nonblocking.
  func iAllGather<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, keeping owner: AnyObject?
  ) throws -> PendingOperation
  /// `send`, nonblocking.
  func iSend<T: CollectiveElement>(
    _ buffer: UnsafeBufferPointer<T>, to destination: Int, tag: Int, keeping owner: AnyObject?
  ) throws -> PendingOperation
  /// `receive`, nonblocking.
  func iReceive<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, from source: Int, tag: Int, keeping owner: AnyObject?
  ) throws -> PendingOperation
}

extension Communicator {
  /// Whether this is rank 0, which speaks for all.
  public var isFirst: Bool { rank == 0 }
}
