import Platform

#if canImport(Glibc)
  import Glibc
#endif

/// Finds out whether this process advances where its work says nothing of it; looked at once a second.
///
/// Long phases without a tick (a large file, a model, a slow disk) are no hang while the main thread computes or bytes
/// of files move. Arithmetic counts only while the rank does not wait: MPI waits by spinning.
struct ProgressProbe {
  /// Arithmetic of the main thread since the last look that counts as work, seconds.
  static let leastArithmetic = 0.01
  /// Bytes read or written since the last look that count as work: more than it takes to keep a lock file fresh.
  static let leastBytes = 65_536

  private let clock: clockid_t?
  private var arithmetic: Double
  private var bytes: Int
  /// What this reads itself of /proc counts as read by the process.
  private var ownBytes = 0
  private(set) var evidence: UInt64 = 0

  /// Watches a thread, the one that does the work.
  init(of thread: pthread_t) {
    var clock = clockid_t()
    self.clock = pthread_getcpuclockid(thread, &clock) == 0 ? clock : nil
    (arithmetic, bytes) = (0, 0)
    arithmetic = secondsOfArithmetic()
    bytes = movedBytes()
  }

  /// What the process is doing, with ticks that also grow where it computes or reads and writes.
  mutating func look() -> Activity.Snapshot {
    var activity = Activity.now
    let (spent, moved) = (secondsOfArithmetic(), movedBytes())
    if ProgressProbe.counts(arithmetic: spent - arithmetic, bytes: moved - bytes, activity.wait) { evidence += 1 }
    (arithmetic, bytes) = (spent, moved)
    activity.ticks &+= evidence
    activity.isBlocked = mainThreadIsBlocked()
    return activity
  }

  /// Whether what has happened since the last look is progress.
  static func counts(arithmetic: Double, bytes: Int, _ wait: Activity.Wait) -> Bool {
    bytes >= leastBytes || (wait == .none && arithmetic >= leastArithmetic)
  }

  private func secondsOfArithmetic() -> Double {
    var time = timespec()
    guard let clock, clock_gettime(clock, &time) == 0 else { return 0 }
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  /// Bytes that the process has read and written, those from and to disks and of messages over sockets included.
  private mutating func movedBytes() -> Int {
    let text = read("/proc/self/io")
    let counts = text.split(separator: "\n").compactMap { line -> Int? in
      let parts = line.split(separator: " ")
      guard parts.count == 2, ["rchar:", "wchar:", "read_bytes:", "write_bytes:"].contains(parts[0]) else { return nil }
      return Int(parts[1])
    }
    return counts.reduce(0, &+) - ownBytes
  }

  /// The state of the process is that of its main thread.
  private mutating func mainThreadIsBlocked() -> Bool { ProcessRecord(read("/proc/self/stat"))?.state == "D" }

  private mutating func read(_ path: String) -> String {
    let text = ProcessRecord.text(path)
    ownBytes += text.utf8.count
    return text
  }
}
