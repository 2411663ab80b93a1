#if canImport(Glibc)
  import Glibc
#endif

/// A process, read from /proc/PID/stat.
struct ProcessRecord: Equatable {
  let name: String
  /// R, S, D, Z, T, …
  let state: Character
  let parent: Int32
  /// Clock ticks from the system's start to the process's, which distinguish it from a later process with the same id.
  let start: UInt64

  init(name: String, state: Character = "S", parent: Int32, start: UInt64) {
    (self.name, self.state, self.parent, self.start) = (name, state, parent, start)
  }

  /// Parses `pid (name) state parent …`, where the name may contain blanks and parentheses; nil for other text.
  init?(_ text: String) {
    guard let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")"), open < close else { return nil }
    let rest = text[text.index(after: close)...].split(separator: " ")
    guard rest.count > 19, let state = rest[0].first, let parent = Int32(rest[1]), let start = UInt64(rest[19]) else {
      return nil
    }
    self.init(name: String(text[text.index(after: open)..<close]), state: state, parent: parent, start: start)
  }

  /// The record of a process; nil if it does not exist.
  static func of(_ process: Int32) -> ProcessRecord? { ProcessRecord(text("/proc/\(process)/stat")) }

  /// The text of a small file in /proc; empty if it cannot be read.
  static func text(_ path: String) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { return "" }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = read(descriptor, &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
  }
}

/// The processes between a rank and its launcher: wrappers, shells, and finally mpirun or its daemon.
///
/// If any of them is gone, the job has lost its launcher. Without a known launcher only the parent is watched.
struct LauncherChain: Sendable {
  /// Each process and its start, nearest to the rank first.
  let links: [(process: Int32, start: UInt64)]
  /// The launcher, if a rank may end it: it was started for this job and is not a daemon of the batch system.
  let own: Int32?
  private let parent: Int32
  private let record: @Sendable (Int32) -> ProcessRecord?

  private static let launchers: Set = [
    "mpirun", "mpiexec", "orterun", "mpirun.openmpi", "mpiexec.openmpi", "orted", "prterun", "prte", "prted",
    "mpiexec.hydra", "mpirun.mpich", "mpiexec.mpich", "hydra_pmi_proxy", "hydra_bstrap_pr",
  ]
  private static let daemons: Set = ["slurmstepd", "srun", "jsrun", "aprun", "palsd", "pbs_mom"]

  /// Follows the parents of this process up to the nearest launcher.
  init(parent: Int32 = getppid(), record: @escaping @Sendable (Int32) -> ProcessRecord? = { ProcessRecord.of($0) }) {
    (self.parent, self.record) = (parent, record)
    var links: [(process: Int32, start: UInt64)] = []
    var current = parent
    while current > 1, links.count < 32, let found = record(current) {
      links.append((current, found.start))
      if LauncherChain.launchers.contains(found.name) || LauncherChain.daemons.contains(found.name) {
        self.links = links
        own = LauncherChain.launchers.contains(found.name) ? current : nil
        return
      }
      current = found.parent
    }
    self.links = Array(links.prefix(1))
    own = nil
  }

  /// Whether a process of the chain has ended.
  ///
  /// - Parameter parent: the parent of this process now.
  func isBroken(parent now: Int32 = getppid(), exists: (Int32) -> Bool = { kill($0, 0) == 0 || errno != ESRCH }) -> Bool
  {
    if now != parent { return true }
    return links.contains { link in
      guard let found = record(link.process) else { return !exists(link.process) }
      return found.start != link.start || found.state == "Z" || found.state == "X"
    }
  }
}
