import Foundation
import Platform

// fuzz [--inputs N] [--kind K] [--seed S] [--keep DIRECTORY]: damaged files of every kind against their readers.
//
// Input i of a kind is a function of (seed, kind, i) alone. A worker process reads a range of them and notes which one
// it is at in a file that it shares with this process; where it ends by a signal or stands still, this process saves
// the input, says so and starts another worker behind it.

/// What the command line asks for.
struct Options {
  var inputs = 1000
  var kind: String?
  var seed: UInt64 = 1
  var keep = "fuzz-findings"
  /// A worker's range; nil in the process that starts workers.
  var range: Range<Int>?
  var place = ""

  init(_ arguments: [String]) throws {
    var rest = arguments.dropFirst()
    func usage(_ what: String) -> RetortError {
      RetortError(
        .configuration, what, at: "fuzz", remedy: "fuzz [--inputs N] [--kind K] [--seed S] [--keep DIRECTORY]")
    }
    while let flag = rest.popFirst() {
      guard let value = rest.popFirst() else { throw usage("\(flag) has no value") }
      switch flag {
      case "--inputs": inputs = max(1, Int(value) ?? inputs)
      case "--kind": kind = value
      case "--seed": seed = UInt64(value) ?? seed
      case "--keep": keep = value
      case "--place": place = value
      case "--range":
        let ends = value.split(separator: "-").compactMap { Int($0) }
        guard ends.count == 2, ends[0] <= ends[1] else { throw usage("\(value) is no range") }
        range = ends[0]..<ends[1]
      default: throw usage("\(flag) is unknown")
      }
    }
  }
}

/// Input `index` of a kind.
func input(_ index: Int, of kind: Kind, seed: UInt64) -> [UInt8] {
  var hash: UInt64 = 0xcbf2_9ce4_8422_2325
  for byte in kind.name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
  var chance = Chance(seed: seed &* 0x1_0000_0001 ^ hash &+ UInt64(index) &* 0x2545_f491_4f6c_dd1d)
  let own = kind.seeds[chance.below(kind.seeds.count)]
  let other = kind.seeds[chance.below(kind.seeds.count)]
  return Mutation.mutated(own, with: other, &chance)
}

func write(_ bytes: [UInt8], to path: String) throws {
  guard let file = fopen(path, "w") else { throw RetortError(.unexpected, "cannot be written", at: path) }
  defer { fclose(file) }
  guard fwrite(bytes, 1, bytes.count, file) == bytes.count else {
    throw RetortError(.unexpected, "cannot be written", at: path)
  }
}

/// Reads a range of inputs of one kind in this process, under a limit of memory.
func work(_ kind: Kind, _ range: Range<Int>, _ options: Options) throws {
  let folder = options.place
  try makeDirectory(folder)
  for (name, content) in kind.beside { try write(content, to: joinPath(folder, name)) }
  let descriptor = open(joinPath(folder, "at"), O_RDWR | O_CREAT, 0o600)
  guard descriptor >= 0, ftruncate(descriptor, 16) == 0,
    let shared = mmap(nil, 16, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), shared != MAP_FAILED
  else { throw RetortError(.unexpected, "cannot be shared", at: folder) }
  let at = shared.assumingMemoryBound(to: Int64.self)
  let pages = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ").first
  let present = (pages.flatMap { Int($0) } ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
  var limit = rlimit(rlim_cur: rlim_t(present + kind.memory), rlim_max: rlim_t(present + kind.memory))
  setrlimit(__rlimit_resource_t(9), &limit)
  let path = joinPath(folder, kind.file)
  for index in range {
    at[0] = Int64(index)
    try write(input(index, of: kind, seed: options.seed), to: path)
    do { try kind.read(path, folder) } catch let error as RetortError {
      if error.kind == .unexpected { print("unnamed \(index) \(error.what)") }
    } catch { print("unnamed \(index) \(error)") }
  }
  at[1] = 1
}

/// Runs workers over all inputs of a kind; returns how many findings there were.
func hunt(_ kind: Kind, _ options: Options) throws -> Int {
  let folder = NSTemporaryDirectory() + "/retort-fuzz-\(getpid())-\(kind.name)"
  defer { try? FileManager.default.removeItem(atPath: folder) }
  try makeDirectory(folder)
  var findings = 0
  func report(_ index: Int, _ what: String) throws {
    findings += 1
    try makeDirectory(options.keep)
    let path = joinPath(options.keep, "\(kind.name)-\(options.seed)-\(index)")
    try write(input(index, of: kind, seed: options.seed), to: path)
    defer { fflush(nil) }
    print("\(kind.name): input \(index) of seed \(options.seed) \(what); kept as \(path)")
  }
  var start = 0
  let began = Date()
  while start < options.inputs, findings < 20 {
    let end = min(options.inputs, start + 20_000)
    let worker = Process()
    worker.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    worker.arguments = [
      "--kind", kind.name, "--seed", "\(options.seed)", "--range", "\(start)-\(end)", "--place", folder,
    ]
    let output = joinPath(folder, "output")
    FileManager.default.createFile(atPath: output, contents: nil)
    worker.standardOutput = FileHandle(forWritingAtPath: output)
    worker.standardError = FileHandle.nullDevice
    unlink(joinPath(folder, "at"))
    try worker.run()
    var (last, since) = (-1, Date())
    func place() -> (index: Int, isDone: Bool) {
      guard let data = FileManager.default.contents(atPath: joinPath(folder, "at")), data.count == 16 else {
        return (start, false)
      }
      return data.withUnsafeBytes {
        (Int($0.loadUnaligned(as: Int64.self)), $0.loadUnaligned(fromByteOffset: 8, as: Int64.self) == 1)
      }
    }
    var hangs = false
    while worker.isRunning {
      usleep(20_000)
      let index = place().index
      if index != last { (last, since) = (index, Date()) }
      if Date().timeIntervalSince(since) > 5 {
        hangs = true
        kill(worker.processIdentifier, SIGKILL)
      }
    }
    worker.waitUntilExit()
    let (index, isDone) = place()
    for line in (try? String(contentsOfFile: output, encoding: .utf8))?.split(separator: "\n") ?? [] {
      let parts = line.split(separator: " ", maxSplits: 2)
      if parts.count > 1, parts[0] == "unnamed", let index = Int(parts[1]) {
        try report(index, "threw what has no name: \(parts.last ?? "")")
      }
    }
    if isDone {
      start = end
      continue
    }
    try report(index, hangs ? "took more than 5 s" : "ended the program (\(worker.terminationStatus))")
    start = max(index, start) + 1
  }
  let seconds = Date().timeIntervalSince(began)
  print("\(kind.name): \(start) inputs in \(Int(seconds)) s, \(findings) findings")
  fflush(nil)
  return findings
}

do {
  let options = try Options(CommandLine.arguments)
  let kinds = try Kinds.all(named: options.kind)
  guard !kinds.isEmpty else {
    let names = try Kinds.all(named: nil).map(\.name).joined(separator: ", ")
    throw RetortError(.configuration, "\(options.kind ?? "") is no kind", at: "--kind", remedy: "kinds are \(names)")
  }
  if let range = options.range {
    try work(kinds[0], range, options)
  } else {
    var findings = 0
    for kind in kinds { findings += try hunt(kind, options) }
    exit(findings == 0 ? 0 : 1)
  }
} catch {
  print("fuzz: \(error)")
  exit(2)
}
