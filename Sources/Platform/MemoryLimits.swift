import CFaults

#if canImport(Glibc)
  import Glibc
#endif

/// How much memory this process may use, as far as the system reports it.
package enum MemoryLimits {
  /// Bytes of address space that the process may use (`ulimit -v`); nil without a limit.
  package static var addressSpace: Int? { limit(RLIMIT_AS) }

  /// Bytes of private memory that the process may use (`ulimit -d`); nil without a limit.
  package static var data: Int? { limit(RLIMIT_DATA) }

  private static func limit(_ resource: __rlimit_resource) -> Int? {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0, limit.rlim_cur < UInt(Int.max) else {
      return nil
    }
    return Int(limit.rlim_cur)
  }

  /// Bytes of address space left under both limits; nil if neither is set or the system does not report current use.
  package static var remainingAddresses: Int? {
    let limits = (addressSpace, data)
    if limits == (nil, nil) { return nil }
    return remaining(
      of: limits.0, and: limits.1, pages: text(of: "/proc/self/statm") ?? "", page: sysconf(Int32(_SC_PAGESIZE)))
  }

  /// Bytes left under the limits of address space and of private memory; nil if neither can be computed.
  ///
  /// - Parameters:
  ///   - pages: the content of `/proc/self/statm`, in pages: total, resident, shared, text, 0, data and stack.
  ///   - page: bytes of a page.
  static func remaining(of addresses: Int?, and data: Int?, pages: String, page: Int) -> Int? {
    let counts = pages.split(whereSeparator: { !$0.isNumber }).map { Int($0) ?? 0 }
    return [(addresses, 0), (data, 5)].compactMap { limit, field in
      guard let limit, counts.indices.contains(field) else { return nil }
      return max(0, limit - counts[field] * page)
    }.min()
  }

  /// With fewer bytes of address space than this, malloc uses one arena for all threads.
  private static let fewAddresses = 4 << 30

  /// Reduces the use of address space if little is left; call it at the start of the process.
  package static func prepare() {
    if let left = remainingAddresses, left < fewAddresses { rtk_faults_spare_addresses() }
  }

  /// The lowest memory limit among the process's control groups, in bytes; nil without a limit.
  package static var controlGroup: Int? {
    guard let own = text(of: "/proc/self/cgroup") else { return nil }
    var least: Int?
    for line in own.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let isFirst = fields[1].split(separator: ",").contains("memory")
      guard isFirst || fields[1].isEmpty else { continue }
      let (root, name) =
        isFirst ? ("/sys/fs/cgroup/memory", "memory.limit_in_bytes") : ("/sys/fs/cgroup", "memory.max")
      var group = String(fields[2])
      while true {
        let path = joinPath(joinPath(root, String(group.drop { $0 == "/" })), name)
        // Version 1 writes a number near 2⁶³ for no limit.
        if let limit = firstNumber(of: path), limit < 1 << 60 { least = min(least ?? limit, limit) }
        if group.isEmpty || group == "/" { break }
        group = parentDirectory(of: group)
      }
    }
    return least
  }

  /// The process's control groups, to compare with those of another process.
  package static var controlGroupName: String? { text(of: "/proc/self/cgroup") }

  /// Bytes of memory of the machine; nil if the system does not report it.
  package static var total: Int? { text(of: "/proc/meminfo").flatMap { ProcessMemory.bytes(of: "MemTotal:", in: $0) } }

  /// Bytes of swap of the machine; nil if the system does not report it.
  package static var swap: Int? { text(of: "/proc/meminfo").flatMap { ProcessMemory.bytes(of: "SwapTotal:", in: $0) } }

  /// Bytes that the machine can allocate without swapping; nil if the system does not report it.
  package static var available: Int? {
    text(of: "/proc/meminfo").flatMap { ProcessMemory.bytes(of: "MemAvailable:", in: $0) }
  }

  private static func firstNumber(of path: String) -> Int? {
    text(of: path).flatMap { Int($0.prefix { $0.isNumber }) }
  }

  private static func text(of path: String) -> String? {
    // Files in /proc and /sys report a size of 0, so the buffer has a fixed size.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 16_384)
    let count = read(descriptor, &buffer, buffer.count)
    return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
  }
}
