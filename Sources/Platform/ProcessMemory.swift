#if canImport(Glibc)
  import Glibc
#endif

/// What this process takes of the machine's memory.
public enum ProcessMemory {
  /// The proportional set size in bytes: private pages whole, shared ones divided by the number of processes that map
  /// them, so that the sum over processes is what they take together; nil where the system does not say.
  public static var proportionalBytes: Int? { figure("Pss:", of: "/proc/self/smaps_rollup") }

  /// The most bytes that this process has had in memory at one time, shared ones counted whole; nil where the system
  /// does not say.
  public static var peakBytes: Int? { figure("VmHWM:", of: "/proc/self/status") }

  private static func figure(_ field: String, of path: String) -> Int? {
    // Files of the system have no size that could be asked for.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 8192)
    let count = read(descriptor, &buffer, buffer.count)
    return count > 0 ? bytes(of: field, in: String(decoding: buffer[..<count], as: UTF8.self)) : nil
  }

  /// The figure of a line such as "Pss:   1234 kB", in bytes.
  static func bytes(of field: String, in text: String) -> Int? {
    let line = text.split(separator: "\n").first { $0.hasPrefix(field) }
    return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
  }
}
