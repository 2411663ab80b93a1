import Dispatch
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// The threads of this rank, for loops whose parts write to disjoint memory.
///
/// oneDNN's products run on OpenMP, whose threads spin for a while after each product: threads of another pool would
/// wait for their cores. So these loops run on the same OpenMP threads. The library is looked up by name, since it is
/// oneDNN's dependency and not this program's; without GNU OpenMP, Dispatch runs the loops.
package enum ThreadTeam {
  private static let count = Atomic<Int>(1)

  /// The most threads that a loop uses, the caller's included; `LinearAlgebraLibrary.setThreads` sets it.
  package static var size: Int { count.load(ordering: .relaxed) }

  static func setSize(_ threads: Int) { count.store(max(1, threads), ordering: .relaxed) }

  /// Calls `body` once for each part in 0 ..< parts on the team's threads, and returns when all are done.
  ///
  /// Parts run in any order: none may read what another writes. A nested loop runs on the calling thread alone.
  package static func run(parts: Int, _ body: (_ part: Int) -> Void) {
    let threads = min(size, parts)
    if threads <= 1 {
      for part in 0..<max(0, parts) { body(part) }
      return
    }
    withoutActuallyEscaping(body) { body in
      let loop = Loop(parts: parts, body: body)
      // The loop lives in this frame until every thread has left it.
      withExtendedLifetime(loop) {
        if let forkOpenMP {
          forkOpenMP({ Loop.enter($0) }, Unmanaged.passUnretained(loop).toOpaque(), UInt32(threads), 0)
        } else {
          DispatchQueue.concurrentPerform(iterations: threads) { _ in loop.work() }
        }
      }
    }
  }

  /// Splits 0 ..< count into ranges for the threads and calls `body` once for each.
  ///
  /// - Parameters:
  ///   - unit: ranges begin at multiples of it.
  ///   - cost: numbers read and written for one element of the range. A range with fewer than 32,768 of them is not
  ///     worth a thread: small loops run on the calling thread.
  ///   - isUneven: whether elements take different times; there are then more ranges than threads.
  /// The result for an element must not depend on its range, so that any number of threads gives the same bits.
  package static func split(
    _ count: Int, unit: Int = 1, cost: Int = 1, isUneven: Bool = false, _ body: (_ range: Range<Int>) -> Void
  ) {
    if count == 0 { return }
    let units = (count + unit - 1) / unit
    let parts = size == 1 ? 1 : min(isUneven ? 8 * size : size, units, count * cost / leastCost)
    if parts <= 1 { return body(0..<count) }
    run(parts: parts) { part in
      body(units * part / parts * unit..<min(count, units * (part + 1) / parts * unit))
    }
  }

  /// The least numbers read and written by a range: about 5 µs, a few times the cost of waking a spinning thread.
  private static let leastCost = 1 << 15

  private typealias Fork = @convention(c) (
    _ body: @convention(c) (UnsafeMutableRawPointer?) -> Void, _ data: UnsafeMutableRawPointer?, _ threads: UInt32,
    _ flags: UInt32
  ) -> Void

  /// The function that GCC's `#pragma omp parallel` calls: runs the body once on each thread, the caller's included.
  private static let forkOpenMP = dlsym(nil, "GOMP_parallel").map { unsafeBitCast($0, to: Fork.self) }

  /// One call of `run`: threads take parts until none is left, so fewer threads than requested also finish it.
  private final class Loop: @unchecked Sendable {
    private let next = Atomic<Int>(0)
    private let parts: Int
    private let body: (Int) -> Void

    init(parts: Int, body: @escaping (Int) -> Void) {
      self.parts = parts
      self.body = body
    }

    func work() {
      while true {
        let part = next.wrappingAdd(1, ordering: .relaxed).oldValue
        if part >= parts { return }
        body(part)
      }
    }

    static func enter(_ loop: UnsafeMutableRawPointer?) {
      guard let loop else { return }
      Unmanaged<Loop>.fromOpaque(loop).takeUnretainedValue().work()
    }
  }
}
