import Foundation

/// When this process was started.
public enum ProcessStart {
  /// Seconds since the process was started, to a hundredth; a process that replaced itself by `exec` counts from its
  /// first start. nil where the system does not tell.
  public static var secondsAgo: Double? {
    // Files of /proc do not tell their length.
    guard let file = fopen("/proc/self/stat", "rb") else { return nil }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = fread(&bytes, 1, bytes.count, file)
    let text = String(decoding: bytes.prefix(count), as: UTF8.self)
    // The second field is the program's name in parentheses and may hold anything; field 22 is the start in ticks.
    let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
    var now = timespec()
    guard fields.count > 19, let ticks = Double(fields[19]) else { return nil }
    if clock_gettime(CLOCK_BOOTTIME, &now) != 0 { return nil }
    let started = ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
    return max(0, Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9 - started)
  }
}
