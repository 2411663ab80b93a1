import Platform

#if canImport(Glibc)
  import Glibc
#endif

/// Detects progress in phases without ticks; sampled once a second.
///
/// A long phase without a tick (a large file, a model, a slow disk) is not a hang while the main thread uses CPU time
/// or the process reads or writes. CPU time counts only while the rank does not wait, since MPI waits by spinning.
struct ProgressProbe {
  /// Seconds of CPU time of the main thread between two samples that count as progress.
  static let leastArithmetic = 0.01
  /// Bytes read or written between two samples that count as progress: more than refreshing a lock file needs.
  static let leastBytes = 65_536

  private let clock: clockid_t?
  private var arithmetic: Double
  private var bytes: Int
  /// Bytes that the probe itself has read from /proc, which the system counts too.
  private var ownBytes = 0
  private(set) var evidence: UInt64 = 0

  /// Watches the thread that does the work.
  init(of thread: pthread_t) {
    var clock = clockid_t()
    self.clock = pthread_getcpuclockid(thread, &clock) == 0 ? clock : nil
    (arithmetic, bytes) = (0, 0)
    arithmetic = secondsOfArithmetic()
    bytes = movedBytes()
  }

  /// The state of the process, with ticks that also grow while it computes, reads or writes.
  mutating func look() -> Activity.Snapshot {
    var activity = Activity.now
    let (spent, moved) = (secondsOfArithmetic(), movedBytes())
    if ProgressProbe.counts(arithmetic: spent - arithmetic, bytes: moved - bytes, activity.wait) { evidence += 1 }
    (arithmetic, bytes) = (spent, moved)
    activity.ticks &+= evidence
    activity.isBlocked = mainThreadIsBlocked()
    return activity
  }

  /// Whether the changes since the last sample count as progress.
  static func counts(arithmetic: Double, bytes: Int, _ wait: Activity.Wait) -> Bool {
    bytes >= leastBytes || (wait == .none && arithmetic >= leastArithmetic)
  }

  private func secondsOfArithmetic() -> Double {
    var time = timespec()
    guard let clock, clock_gettime(clock, &time) == 0 else { return 0 }
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  /// Bytes that the process has read and written, disks and sockets included.
  private mutating func movedBytes() -> Int {
    let text = read("/proc/self/io")
    let counts = text.split(separator: "\n").compactMap { line -> Int? in
      let parts = line.split(separator: " ")
      guard parts.count == 2, ["rchar:", "wchar:", "read_bytes:", "write_bytes:"].contains(parts[0]) else { return nil }
      return Int(parts[1])
    }
    return counts.reduce(0, &+) - ownBytes
  }

  /// Whether the main thread is in uninterruptible sleep; the state of a process is that of its main thread.
  private mutating func mainThreadIsBlocked() -> Bool { ProcessRecord(read("/proc/self/stat"))?.state == "D" }

  private mutating func read(_ path: String) -> String {
    let text = ProcessRecord.text(path)
    ownBytes += text.utf8.count
    return text
  }
}
