import Foundation
import Platform

/// Input `index` of a kind: a function of (seed, kind, index) alone.
func input(_ index: Int, of kind: Kind, seed: UInt64) -> [UInt8] {
  var hash: UInt64 = 0xcbf2_9ce4_8422_2325
  for byte in kind.name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
  var chance = Chance(seed: seed &* 0x1_0000_0001 ^ hash &+ UInt64(index) &* 0x2545_f491_4f6c_dd1d)
  let own = kind.seeds[chance.below(kind.seeds.count)]
  let other = kind.seeds[chance.below(kind.seeds.count)]
  var bytes = Mutation.mutated(own, with: other, &chance)
  if let seal = kind.seal, index % 2 == 1 { seal(&bytes) }
  return bytes
}

/// Makes a file and its directories; never changes one that has another name too.
func write(_ bytes: [UInt8], to path: String) throws {
  let flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC
  unlink(path)
  var descriptor = open(path, flags, 0o600)
  if descriptor < 0, errno == ENOENT {
    try makeDirectory(parentDirectory(of: path))
    descriptor = open(path, flags, 0o600)
  }
  defer { if descriptor >= 0 { close(descriptor) } }
  guard descriptor >= 0, Foundation.write(descriptor, bytes, bytes.count) == bytes.count else {
    throw RetortError(.unexpected, "cannot be written (\(systemErrorText()))", at: path)
  }
}

/// Reads damaged files of one kind in this process, under a limit of memory.
struct Reader {
  private let kind: Kind
  private let folder: String
  private let path: String

  /// Lays out the files that stand beside the damaged one, in a folder that holds nothing else.
  ///
  /// - Parameter isLimited: whether this process has the kind's memory from then on, and no more.
  init(_ kind: Kind, in folder: String, isLimited: Bool = true) throws {
    (self.kind, self.folder, path) = (kind, folder, joinPath(folder, kind.file))
    try? FileManager.default.removeItem(atPath: folder)
    try makeDirectory(folder)
    for (name, content) in kind.beside { try write(content, to: joinPath(folder, name)) }
    // What the first use of a reader makes once counts for no input.
    for seed in kind.seeds { _ = try read(seed) }
    guard isLimited else { return }
    let pages = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ").first
    let present = (pages.flatMap { Int($0) } ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
    var limit = rlimit(rlim_cur: rlim_t(present + kind.memory), rlim_max: rlim_t(present + kind.memory))
    setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
  }

  /// Reads one file; a phrase where what comes of it is a finding.
  func read(_ bytes: [UInt8]) throws -> String? {
    try write(bytes, to: path)
    let start = clock()
    var finding: String?
    do { try kind.read(path, folder) } catch let error as RetortError {
      if error.kind == .unexpected { finding = "threw what has no name: \(error.what)" }
      if error.what.hasPrefix("out of memory") { finding = "asked for memory that it does not justify: \(error.what)" }
    } catch { finding = "\(error)" }
    let seconds = Double(clock() - start) / Double(CLOCKS_PER_SEC)
    return finding ?? (seconds > 2 ? "took \(seconds) s of a CPU" : nil)
  }
}

/// Reads a range of inputs, and notes in a file that it shares with the process that started it which one it is at.
func work(_ kind: Kind, _ range: Range<Int>, _ options: Options) throws {
  let descriptor = open(joinPath(options.place, "at"), O_RDWR | O_CREAT, 0o600)
  guard descriptor >= 0, ftruncate(descriptor, 16) == 0,
    let shared = mmap(nil, 16, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), shared != MAP_FAILED
  else { throw RetortError(.unexpected, "cannot be shared", at: options.place) }
  let at = shared.assumingMemoryBound(to: Int64.self)
  at[0] = Int64(range.lowerBound)
  let reader = try Reader(kind, in: joinPath(options.place, "files"))
  for index in range {
    at[0] = Int64(index)
    if let finding = try reader.read(input(index, of: kind, seed: options.seed)) {
      print("finding \(index) \(finding.prefix(300).replacing("\n", with: " "))")
      fflush(nil)
    }
  }
  at[1] = 1
}
