import Foundation
import Platform

// fuzz [--inputs N] [--kind K,K…] [--seed S] [--keep DIRECTORY]: damaged files of every kind against their readers.
//
// A worker process reads a range of inputs of a kind and notes which one it is at in a file that it shares with this
// process; where it ends by a signal or stands still, this process saves the input, says so and starts another worker
// behind it. `--file` reads one file of the kind that `--kind` names, `--coverage` has libFuzzer damage files of that
// kind, and `--list` lists the kinds.

/// Where workers have their files: in memory where the system has such a place.
let temporary = access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : NSTemporaryDirectory()

/// Runs workers over all inputs of a kind; returns how many findings there were.
func hunt(_ kind: Kind, _ options: Options) throws -> Int {
  let folder = joinPath(options.place, "worker")
  try makeDirectory(folder)
  let inputs = max(1, options.inputs / kind.slowness)
  var findings = 0
  func report(_ index: Int, _ what: String) throws {
    findings += 1
    try makeDirectory(options.keep)
    let name = kind.name.replacing("/", with: "-")
    let path = joinPath(options.keep, "\(name)-\(options.seed)-\(index)")
    try write(input(index, of: kind, seed: options.seed), to: path)
    defer { fflush(nil) }
    print("\(kind.name): input \(index) of seed \(options.seed) \(what); kept as \(path)")
  }
  var start = 0
  let began = Date()
  while start < inputs, findings < 20 {
    let end = min(inputs, start + 20_000)
    let worker = Process()
    worker.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    worker.arguments = [
      "--kind", kind.name, "--seed", "\(options.seed)", "--range", "\(start)-\(end)", "--place", folder,
    ]
    // A thread of the matrix library that wakes late would take addresses from the limit that is there for the reader.
    worker.environment = ProcessInfo.processInfo.environment.merging(
      ["OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"]
    ) { $1 }
    let output = joinPath(folder, "output")
    _ = FileManager.default.createFile(atPath: output, contents: nil)
    let written = FileHandle(forWritingAtPath: output)
    worker.standardOutput = written
    worker.standardError = written
    unlink(joinPath(folder, "at"))
    try worker.run()
    // Looks, not seconds: a machine that stops both processes for a while is no fault of the reader.
    var (before, looks) = (-1, 0)
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
      usleep(10_000)
      let index = place().index
      looks = index == before ? looks + 1 : 0
      before = index
      if looks > 2000 {
        hangs = true
        kill(worker.processIdentifier, SIGKILL)
      }
    }
    worker.waitUntilExit()
    let (index, isDone) = place()
    let lines = (FileManager.default.contents(atPath: output) ?? Data()).split(separator: 10).map {
      String(decoding: $0, as: UTF8.self)
    }
    for line in lines {
      let parts = line.split(separator: " ", maxSplits: 2)
      if parts.count == 3, parts[0] == "finding", let index = Int(parts[1]) { try report(index, "\(parts[2])") }
    }
    if isDone {
      start = end
      continue
    }
    try report(index, hangs ? "stood still for 20 s" : "ended the program (\(worker.terminationStatus))")
    let said = lines.filter { !$0.hasPrefix("finding ") }.joined(separator: "\n")
    if !said.isEmpty { print(said.prefix(1500)) }
    start = max(index, start) + 1
  }
  let seconds = Date().timeIntervalSince(began)
  print("\(kind.name): \(start) inputs, \(Int(Double(start) / max(seconds, 0.01))) a second, \(findings) findings")
  fflush(nil)
  return findings
}

/// Runs what the command line asks for; whether nothing was found.
func run(_ given: Options) throws -> Bool {
  var options = given
  if options.range == nil { options.place = joinPath(temporary, "retort-fuzz-\(getpid())") }
  defer { if options.range == nil { try? FileManager.default.removeItem(atPath: options.place) } }
  // A worker takes the seeds that this process has made: a training's log holds times.
  let parent = options.range == nil ? options.place : parentDirectory(of: options.place)
  let kinds = try Kinds.all(named: options.kinds, scratch: joinPath(parent, "seeds"))
  if kinds.isEmpty {
    throw RetortError(
      .configuration, "\(options.kinds?.joined(separator: ",") ?? "") is no kind", at: "--kind",
      remedy: "--list yes lists them")
  }
  if options.lists {
    for kind in kinds { print(kind.name) }
    return true
  }
  if let range = options.range {
    try work(kinds[0], range, options)
    return true
  }
  if let seconds = options.coverage { return try cover(kinds[0], seconds: seconds, options) }
  if let file = options.file {
    let finding = try Reader(kinds[0], in: joinPath(options.place, "files")).read(Array(readFile(file)))
    print(finding ?? "nothing found")
    return finding == nil
  }
  return try kinds.reduce(0) { try $0 + hunt($1, options) } == 0
}

do {
  exit(try run(Options(CommandLine.arguments)) ? 0 : 1)
} catch {
  print("fuzz: \(error)")
  exit(2)
}
