import Foundation

/// When a process was started.
public enum ProcessStart {
  /// Seconds since the process was started, to a hundredth; a process that replaced itself by `exec` counts from its
  /// first start. nil where the system does not tell.
  public static var secondsAgo: Double? {
    var now = timespec()
    guard let ticks = ticks(of: getpid()), clock_gettime(CLOCK_BOOTTIME, &now) == 0 else { return nil }
    let started = Double(ticks) / Double(sysconf(Int32(_SC_CLK_TCK)))
    return max(0, Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9 - started)
  }

  /// The clock ticks between the machine's start and that of a process: with its number they name one process for as
  /// long as the machine runs. nil for a process that has ended, also where nobody has asked for its exit code yet.
  public static func ticks(of process: Int32) -> UInt64? {
    // Files of /proc do not tell their length.
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
