import CSystem
import Platform

#if canImport(Glibc)
  import Glibc
#endif

/// The ranks of a node that share memory, and counters in it by which they wait for each other.
///
/// Waiting costs no message: a rank spins for a moment where each rank has a core, and then sleeps until it is woken.
package final class NodeGroup {
  /// The ranks of the node.
  package let ranks: any Communicator
  /// This rank's number on the node.
  package var rank: Int { ranks.rank }
  /// The number of ranks that share memory; 1 for a rank that shares none.
  package var size: Int { ranks.size }
  private let memory: NodeMemory
  private var channels = 0
  private let spinNanoseconds: UInt64
  /// Lets messages move while a rank waits for its node, since another rank may wait for such a message.
  var progress: (() throws -> Void)?
  private lazy var meeting = signal()
  private lazy var totals = signal()
  private var meetings: UInt64 = 0
  private var sums: UInt64 = 0

  private static let mostChannels = 62
  /// The most numbers of one sum.
  private static let mostNumbers = 128
  private static func signalBytes(_ size: Int) -> Int { mostChannels * size * MemoryLayout<rts_signal>.stride }

  /// Shares memory among the ranks of a node; collective. nil on every rank if they cannot.
  ///
  /// - Parameter threads: the threads of each rank, to decide whether a waiting rank takes a core from a working one.
  package static func make(of ranks: any Communicator, threads: Int) throws -> NodeGroup? {
    let bytes = signalBytes(ranks.size) + 2 * ranks.size * mostNumbers * 8
    guard let memory = try NodeMemory.make(bytes: bytes, on: ranks) else { return nil }
    let isCrowded = ranks.size * max(1, threads) > sysconf(Int32(_SC_NPROCESSORS_ONLN))
    return NodeGroup(ranks, memory, spinNanoseconds: isCrowded ? 0 : 500_000)
  }

  private init(_ ranks: any Communicator, _ memory: NodeMemory, spinNanoseconds: UInt64) {
    self.ranks = ranks
    self.memory = memory
    self.spinNanoseconds = spinNanoseconds
  }

  /// A new counter for each rank; all ranks make their signals in the same order.
  package func signal() -> NodeSignal {
    precondition(channels < NodeGroup.mostChannels, "a node has \(NodeGroup.mostChannels) signals")
    let first = memory.base.assumingMemoryBound(to: rts_signal.self) + channels * size
    channels += 1
    return NodeSignal(
      counters: first, size: size, rank: rank, spinNanoseconds: spinNanoseconds, progress: progress, memory: memory)
  }

  /// Returns when every rank of the node has called it.
  package func barrier() throws {
    if size == 1 { return }
    meetings += 1
    meeting.post(meetings)
    try meeting.wait(meetings)
  }

  /// The sums of numbers over the ranks of the node, in the order of ranks; collective.
  package func sum(_ numbers: [Double]) throws -> [Double] {
    if size == 1 { return numbers }
    guard numbers.count <= NodeGroup.mostNumbers else { return try ranks.allReduce(numbers, .sum) }
    // Two places, used in turn: a rank that writes to one has seen all ranks finish with it.
    let place =
      (memory.base + NodeGroup.signalBytes(size)).assumingMemoryBound(to: Double.self)
      + Int(sums & 1) * size * NodeGroup.mostNumbers
    sums += 1
    (place + rank * NodeGroup.mostNumbers).update(from: numbers, count: numbers.count)
    totals.post(sums)
    try totals.wait(sums)
    return numbers.indices.map { index in
      (0..<size).reduce(0.0) { $0 + place[$1 * NodeGroup.mostNumbers + index] }
    }
  }
}

/// A counter of each rank of a node, which only grows.
package struct NodeSignal {
  fileprivate let counters: UnsafeMutablePointer<rts_signal>
  fileprivate let size: Int
  fileprivate let rank: Int
  fileprivate let spinNanoseconds: UInt64
  fileprivate let progress: (() throws -> Void)?
  fileprivate let memory: NodeMemory

  /// Raises this rank's counter; what it has written before is visible to ranks that see the value.
  package func post(_ value: UInt64) { rts_signal_post(counters + rank, value) }

  /// Whether all ranks' counters have reached a value.
  package func hasReached(_ value: UInt64) -> Bool {
    for rank in 0..<size where rts_signal_read(counters + rank) < value { return false }
    return true
  }

  /// Waits until all ranks' counters have reached a value.
  package func wait(_ value: UInt64) throws {
    if hasReached(value) { return }
    try Activity.waitingForPeers {
      for rank in 0..<size {
        if let progress {
          while rts_signal_wait(counters + rank, value, 20_000, 50_000) == 0 { try progress() }
        } else {
          while rts_signal_wait(counters + rank, value, spinNanoseconds, 100_000_000) == 0 {}
        }
      }
    }
    Activity.tick()
  }
}
