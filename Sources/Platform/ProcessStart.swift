import Foundation

/// When a process was started.
package enum ProcessStart {
  /// Seconds since the process was started, to a hundredth, counted from its first start if it has replaced itself
  /// by `exec`; nil if the system does not report it.
  package static var secondsAgo: Double? {
    var now = timespec()
    guard let ticks = ticks(of: getpid()), clock_gettime(CLOCK_BOOTTIME, &now) == 0 else { return nil }
    let started = Double(ticks) / Double(sysconf(Int32(_SC_CLK_TCK)))
    return max(0, Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9 - started)
  }

  /// The clock ticks from the machine's start to the process's start: process id and ticks identify one process until
  /// the machine restarts. nil for a process that has ended, zombies included.
  package static func ticks(of process: Int32) -> UInt64? {
    // Files in /proc report a size of 0.
    guard let file = fopen("/proc/\(process)/stat", "rb") else { return nil }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = fread(&bytes, 1, bytes.count, file)
    let text = String(decoding: bytes.prefix(count), as: UTF8.self)
    // The second field is the program's name in parentheses and may hold anything; field 3 is the state, field 22 the
    // start in ticks.
    let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
    guard fields.count > 19, !["Z", "X"].contains(fields[0]) else { return nil }
    return UInt64(fields[19])
  }
}
