/// A group of ranks that exchange buffers.
///
/// There are two implementations: `MPICommunicator`, and `SoloCommunicator` for a process that was started alone.
/// Legend: P is `size`; a buffer of "P blocks" holds block 0 … block P−1 consecutively.
///
/// - Every method except send and receive is collective: all ranks call it, in the same order, with the same counts,
///   reduction, root and chunking. Unequal counts end the job (MPI's error handler stays fatal).
/// - Counts are `Int`; a call is split into messages as `chunking` says. Empty buffers send nothing.
/// - Sums of the same input on the same number of ranks give the same bits each time, on every rank.
/// - Only one thread calls at a time (the main thread in the command), so the types are not `Sendable`.
/// - The buffers of a nonblocking form stay alive and untouched until the operation is complete; an owner passed as
///   `keeping` is kept alive until then. Nonblocking collectives are started in the same order on all ranks.
package protocol Communicator: AnyObject {
  /// The rank of this process, 0 ..< size.
  var rank: Int { get }
  /// The number of ranks.
  var size: Int { get }
  /// The name of the machine that this rank runs on.
  var hostName: String { get }
  /// How buffers are cut into messages; set it to the same value on all ranks, with no operation pending.
  var chunking: Chunking { get set }

  /// The group of ranks that pass the same `color` (≥ 0), ordered by `key`, then by rank.
  func split(color: Int, key: Int) throws -> any Communicator
  /// The group of ranks that share memory with this one.
  func splitByNode() throws -> any Communicator

  /// Returns when every rank has called it.
  func barrier() throws
  /// Lets messages in flight move; not collective.
  func progress() throws
  /// Copies the root's buffer to all ranks.
  func broadcast<T: CollectiveElement>(_ buffer: UnsafeMutableBufferPointer<T>, root: Int) throws
  /// buffer[i] = the reduction of buffer[i] over all ranks, on every rank.
  func allReduce<T: CollectiveElement>(_ buffer: UnsafeMutableBufferPointer<T>, _ reduction: Reduction) throws
  /// Completes a buffer of P blocks in which each rank has filled its own block.
  func allGather<T: CollectiveElement>(_ buffer: UnsafeMutableBufferPointer<T>) throws
  /// receive = the `send` of rank 0, rank 1, … concatenated; counts [P] are their lengths, known to all ranks.
  func allGather<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>, counts: [Int]) throws
  /// On the root, receive = the `send` of rank 0, rank 1, … concatenated; counts [P] are their lengths.
  ///
  /// Other ranks pass nil for `receive`; their counts are ignored.
  func gather<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>?, counts: [Int], root: Int) throws

  /// Sends to one rank; may return before it is received. `tag` is 0 ... 32766. A send to the own rank never blocks.
  func send<T: CollectiveElement>(_ buffer: UnsafeBufferPointer<T>, to destination: Int, tag: Int) throws
  /// Receives the buffer that `source` sent with this tag; the counts of both sides must be equal.
  func receive<T: CollectiveElement>(_ buffer: UnsafeMutableBufferPointer<T>, from source: Int, tag: Int) throws

  /// `allReduce`, nonblocking.
  func iAllReduce<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, _ reduction: Reduction, keeping owner: AnyObject?
  ) throws -> PendingOperation
  /// receive [n] = Σ over ranks of block `rank` of send [P·n], summed in rank order, nonblocking; each chunk is summed
  /// in the `test` or `wait` that finds it complete. `receive` may be block `rank` of `send` itself.
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
  /// Whether this is rank 0, which prints and writes for all.
  package var isFirst: Bool { rank == 0 }
}
