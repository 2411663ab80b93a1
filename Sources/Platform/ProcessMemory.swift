#if canImport(Glibc)
  import Glibc
#endif

/// The memory that this process uses.
package enum ProcessMemory {
  /// The proportional set size in bytes: private pages plus each shared page divided by the number of processes that
  /// map it, so that sums over processes count shared memory once; nil if the system does not report it.
  package static var proportionalBytes: Int? { figure("Pss:", of: "/proc/self/smaps_rollup") }

  /// The peak resident memory of this process in bytes, shared pages included; nil if the system does not report it.
  package static var peakBytes: Int? { figure("VmHWM:", of: "/proc/self/status") }

  private static func figure(_ field: String, of path: String) -> Int? {
    // Files in /proc report a size of 0, so the buffer has a fixed size.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 8192)
    let count = read(descriptor, &buffer, buffer.count)
    return count > 0 ? bytes(of: field, in: String(decoding: buffer[..<count], as: UTF8.self)) : nil
  }

  /// The value of a line such as "Pss:   1234 kB", in bytes.
  static func bytes(of field: String, in text: String) -> Int? {
    let line = text.split(separator: "\n").first { $0.hasPrefix(field) }
    return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
  }
}
