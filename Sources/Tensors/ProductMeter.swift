import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// Times products of 512³ with the configured threads.
///
/// They are large enough to reach the rate of larger ones, and so short (0.5 ms at 500 GFLOP/s) that on a shared
/// machine some of them run undisturbed.
package final class ProductMeter {
  /// The result of one round of products.
  package struct Round: Sendable, Equatable {
    /// The rate of the best product, GFLOP/s.
    package var gigaflops: Double
    /// CPU time of the multiplying threads divided by time · threads of the round: 1 if each had a core to itself,
    /// 0.5 if two shared one.
    package var occupancy: Double

    /// Makes a round with these figures.
    package init(gigaflops: Double, occupancy: Double) {
      self.gigaflops = gigaflops
      self.occupancy = occupancy
    }
  }

  private static let size = 512
  private let (a, b, c): (Tensor, Tensor, Tensor)

  /// - Parameter precision: the format of the operands.
  package init(_ precision: Precision) {
    let shape: Shape = [ProductMeter.size, ProductMeter.size]
    let (a, b) = (Tensor(repeating: 0.5, shape), Tensor(repeating: 0.25, shape))
    (self.a, self.b) = precision == .bf16 ? (a.bf16(), b.bf16()) : (a, b)
    c = Tensor(uninitialized: shape)
  }

  /// Runs at least two products, for at least this many seconds.
  package func round(seconds: Double) -> Round {
    let used = ProductMeter.teamSeconds()
    let start = ProductMeter.now(CLOCK_MONOTONIC)
    var (best, time, count) = (Double.infinity, start, 0)
    while time - start < seconds || count < 2 {
      matrixMultiply(a, b, into: c)
      let end = ProductMeter.now(CLOCK_MONOTONIC)
      (best, time, count) = (min(best, end - time), end, count + 1)
    }
    let took = ProductMeter.now(CLOCK_MONOTONIC) - start
    var occupancy = 0.0
    if let used, let now = ProductMeter.teamSeconds() {
      // Approximate: threads that arrive early in teamSeconds spin, which adds to their CPU time.
      occupancy = (now - used) / max(took, 1e-9) / Double(LinearAlgebraLibrary.threads)
    }
    let size = Double(ProductMeter.size)
    return Round(gigaflops: 2 * size * size * size / max(best, 1e-9) * 1e-9, occupancy: occupancy)
  }

  /// The sum of the CPU times of the team's threads; nil if they do not all run within 20 ms.
  ///
  /// The clock of the process is not usable: it also counts threads that only wait, such as those that OpenBLAS starts
  /// when it is loaded.
  private static func teamSeconds() -> Double? {
    let threads = LinearAlgebraLibrary.threads
    let arrived = Atomic<Int>(0)
    let nanoseconds = Atomic<Int>(0)
    let deadline = now(CLOCK_MONOTONIC) + 0.02
    ThreadTeam.run(parts: threads) { _ in
      arrived.wrappingAdd(1, ordering: .relaxed)
      // Waiting for all threads keeps one thread from taking two parts.
      while arrived.load(ordering: .relaxed) < threads, now(CLOCK_MONOTONIC) < deadline {}
      nanoseconds.wrappingAdd(Int(now(CLOCK_THREAD_CPUTIME_ID) * 1e9), ordering: .relaxed)
    }
    // After the deadline a thread may have taken two parts, so the sum is not usable.
    return now(CLOCK_MONOTONIC) < deadline ? Double(nanoseconds.load(ordering: .relaxed)) * 1e-9 : nil
  }

  private static func now(_ clock: clockid_t) -> Double {
    var time = timespec()
    clock_gettime(clock, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
