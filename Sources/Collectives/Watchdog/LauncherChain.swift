#if canImport(Glibc)
  import Glibc
#endif

/// A process as /proc/PID/stat describes it.
struct ProcessRecord: Equatable {
  let name: String
  /// R, S, D, Z, T, …
  let state: Character
  let parent: Int32
  /// Clock ticks from the system's start to the process's: tells it from a later one with the same id.
  let start: UInt64

  init(name: String, state: Character = "S", parent: Int32, start: UInt64) {
    (self.name, self.state, self.parent, self.start) = (name, state, parent, start)
  }

  /// Reads `pid (name) state parent …`, where the name may have blanks and parentheses; nil for other text.
  init?(_ text: String) {
    guard let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")"), open < close else { return nil }
    let rest = text[text.index(after: close)...].split(separator: " ")
    guard rest.count > 19, let state = rest[0].first, let parent = Int32(rest[1]), let start = UInt64(rest[19]) else {
      return nil
    }
    self.init(name: String(text[text.index(after: open)..<close]), state: state, parent: parent, start: start)
  }

  /// The record of a process that is there.
  static func of(_ process: Int32) -> ProcessRecord? { ProcessRecord(text("/proc/\(process)/stat")) }

  /// A small file of /proc; empty where it cannot be read.
  static func text(_ path: String) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { return "" }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = read(descriptor, &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
  }
}

/// The processes between a rank and what launched it: wrappers, shells, and mpirun or its daemon as the last one.
///
/// Where any of them is gone the job has lost its launcher. Where none is known for one only the parent is watched.
struct LauncherChain: Sendable {
  /// A process and its start, nearest to the rank first.
  let links: [(process: Int32, start: UInt64)]
  /// The launcher, where it is one that a rank may end: started for this job, and no daemon of the batch system.
  let own: Int32?
  private let parent: Int32
  private let record: @Sendable (Int32) -> ProcessRecord?

  private static let launchers: Set = [
    "mpirun", "mpiexec", "orterun", "mpirun.openmpi", "mpiexec.openmpi", "orted", "prterun", "prte", "prted",
    "mpiexec.hydra", "mpirun.mpich", "mpiexec.mpich", "hydra_pmi_proxy", "hydra_bstrap_pr",
  ]
  private static let daemons: Set = ["slurmstepd", "srun", "jsrun", "aprun", "palsd", "pbs_mom"]

  /// Climbs from the parent of this process up to the nearest launcher.
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
