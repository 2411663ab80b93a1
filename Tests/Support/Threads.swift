import Synchronization
import Tensors

/// Held while a test depends on the number of threads, which is one setting of the whole process.
private let threadSetting = Mutex(())

/// Calls `body` with each number of threads, alone among the tests that do so, and restores the former number.
///
/// A call inside `body` would wait for itself.
package func withThreads(_ counts: ClosedRange<Int>, _ body: (_ threads: Int) -> Void) {
  threadSetting.withLock { _ in
    let before = LinearAlgebraLibrary.threads
    defer { LinearAlgebraLibrary.setThreads(before) }
    for count in counts {
      LinearAlgebraLibrary.setThreads(count)
      body(count)
    }
  }
}
