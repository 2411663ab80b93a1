import CFaults

#if canImport(Glibc)
  import Glibc
#endif

/// How much memory this process may have, as far as the system says.
public enum MemoryLimits {
  /// Bytes of addresses that the process may have (`ulimit -v`); nil without a limit.
  public static var addressSpace: Int? { limit(RLIMIT_AS) }

  /// Bytes of private memory that the process may have (`ulimit -d`); nil without a limit.
  public static var data: Int? { limit(RLIMIT_DATA) }

  private static func limit(_ resource: __rlimit_resource) -> Int? {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0, limit.rlim_cur < UInt(Int.max) else {
      return nil
    }
    return Int(limit.rlim_cur)
  }

  /// Bytes of addresses that both limits leave the process; nil where neither is set, or the system does not say what
  /// the process has.
  public static var remainingAddresses: Int? {
    let limits = (addressSpace, data)
    if limits == (nil, nil) { return nil }
    return remaining(
      of: limits.0, and: limits.1, pages: text(of: "/proc/self/statm") ?? "", page: sysconf(Int32(_SC_PAGESIZE)))
  }

  /// What limits of addresses and of private memory leave a process; nil where neither is known to.
  ///
  /// - Parameters:
  ///   - pages: the system's line: pages in all, resident, shared, of programs, 0, of data and stacks.
  ///   - page: bytes of one.
  static func remaining(of addresses: Int?, and data: Int?, pages: String, page: Int) -> Int? {
    let counts = pages.split(whereSeparator: { !$0.isNumber }).map { Int($0) ?? 0 }
    return [(addresses, 0), (data, 5)].compactMap { limit, field in
      guard let limit, counts.indices.contains(field) else { return nil }
      return max(0, limit - counts[field] * page)
    }.min()
  }

  /// Below this malloc has one arena for all threads.
  private static let fewAddresses = 4 << 30

  /// Spares addresses where the process may have few; to be called at the start.
  public static func prepare() {
    if let left = remainingAddresses, left < fewAddresses { rtk_faults_spare_addresses() }
  }

  /// The least limit of the control groups that the process is in, in bytes; nil where there is none.
  public static var controlGroup: Int? {
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
        // Version 1 writes a number near 2⁶³ for none.
        if let limit = firstNumber(of: path), limit < 1 << 60 { least = min(least ?? limit, limit) }
        if group.isEmpty || group == "/" { break }
        group = parentDirectory(of: group)
      }
    }
    return least
  }

  /// The control groups that the process is in, to tell those of two processes apart.
  public static var controlGroupName: String? { text(of: "/proc/self/cgroup") }

  /// Bytes of memory of the machine; nil where the system does not say.
  public static var total: Int? { text(of: "/proc/meminfo").flatMap { ProcessMemory.bytes(of: "MemTotal:", in: $0) } }

  /// Bytes of swap of the machine; nil where the system does not say.
  public static var swap: Int? { text(of: "/proc/meminfo").flatMap { ProcessMemory.bytes(of: "SwapTotal:", in: $0) } }

  /// Bytes that the machine can give without swapping; nil where the system does not say.
  public static var available: Int? {
    text(of: "/proc/meminfo").flatMap { ProcessMemory.bytes(of: "MemAvailable:", in: $0) }
  }

  private static func firstNumber(of path: String) -> Int? {
    text(of: path).flatMap { Int($0.prefix { $0.isNumber }) }
  }

  private static func text(of path: String) -> String? {
    // Files of the system have no size that could be asked for.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 16_384)
    let count = read(descriptor, &buffer, buffer.count)
    return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
  }
}
