import ArgumentParser
import Chains
import Collectives
import Datasets
import Foundation
import Platform
import Tensors
import Training

struct DoctorCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Shows what this machine and this MPI job offer and what to fix.",
    discussion: """
      Start it as you would start a run: alone, or with mpirun or srun on all nodes.
      """)

  @Flag(help: "Prints one JSON object.") var json = false

  func run(on communicator: any Communicator) throws {
    let examination = try Examination(on: communicator)
    guard communicator.isFirst else { return }
    Terminal.write((json ? examination.json.text() : examination.text) + "\n")
  }
}

/// The results of `doctor`.
struct Examination {
  private var findings: [(name: String, value: String)] = []
  private var remedies: [String] = []

  /// Examines the machine and the job; collective.
  init(on communicator: any Communicator) throws {
    try describeProcessor(communicator)
    try describeJob(communicator)
    try describeLimits(communicator)
  }

  private mutating func describeProcessor(_ communicator: any Communicator) throws {
    let cores = ProcessInfo.processInfo.processorCount
    let allowed = Examination.allowedCores
    findings.append(("processor", Examination.processorName))
    findings.append(("cores", "\(cores) on this machine, \(allowed) for this rank"))
    findings.append(("kernels", KernelSet.name))
    findings.append(
      ("OpenBLAS", "core type \(LinearAlgebraLibrary.coreName); \(LinearAlgebraLibrary.threads) threads per rank"))
    let native = try communicator.all(Precision.native == .bf16)
    findings.append(
      ("oneDNN", "\(LinearAlgebraLibrary.oneDNNVersion); precision auto is \(native ? "bf16" : "fp32") here"))
    var disturbance: String?
    for precision in native ? Precision.allCases : [.fp32] {
      let limit = try ArithmeticLimit.measure(precision, budget: 2, on: communicator)
      let together = communicator.size == 1 ? "" : ", \(fixed(limit.total, 0)) on all ranks together"
      findings.append(
        (
          "matrix multiply \(precision.rawValue)",
          "\(limit.isSteady ? "" : "at least ")\(fixed(limit.rates[0], 0)) GFLOP/s on rank 0\(together)"
        ))
      disturbance = limit.remark ?? disturbance
    }
    if let disturbance {
      remedies.append("\(disturbance)\(Examination.loadText): stop other programs there, and measure again")
    }
    if let better = LinearAlgebraLibrary.betterCoreType {
      remedies.append(
        "OpenBLAS runs the kernels for \(LinearAlgebraLibrary.coreName) on a CPU with AVX-512, at about half the "
          + "speed: unset \(LinearAlgebraLibrary.coreTypeVariable), so that Retort chooses \(better)")
    }
    let local = try communicator.splitByNode().size
    if local * LinearAlgebraLibrary.threads > cores {
      remedies.append(
        "\(local) ranks × \(LinearAlgebraLibrary.threads) threads share \(cores) cores: start fewer ranks or set "
          + "OPENBLAS_NUM_THREADS=\(max(1, cores / local))")
    }
    if allowed < LinearAlgebraLibrary.threads {
      remedies.append(
        "this rank may use \(allowed) of \(cores) cores but has \(LinearAlgebraLibrary.threads) threads: "
          + "add --bind-to none to mpirun, or --cpus-per-task to srun")
    }
  }

  private mutating func describeJob(_ communicator: any Communicator) throws {
    let hosts = try communicator.allGather(text: communicator.hostName)
    let names = Set(hosts).sorted()
    findings.append(("MPI", MPISession.libraryVersion.split(separator: ",").first.map(String.init) ?? "unknown"))
    let hostText = "\(names.count) \(names.count == 1 ? "host" : "hosts"): \(names.joined(separator: ", "))"
    findings.append(("ranks", "\(communicator.size) on \(hostText)"))
    if communicator.size == 1 {
      if Examination.allowedCores > 1 {
        remedies.append(
          "this is one rank; use the machine's cores with: mpirun -n \(Examination.allowedCores) retort …")
      }
      return
    }
    for mebibytes in [1, 4, 16] {
      let rate = try allReduceRate(communicator, bytes: mebibytes << 20)
      findings.append(("allreduce \(mebibytes) MiB", "\(fixed(rate, 2)) GB/s"))
    }
  }

  private func allReduceRate(_ communicator: any Communicator, bytes: Int) throws -> Double {
    var values = [Float](repeating: 1, count: bytes / 4)
    var best = Double.infinity
    for _ in 0..<5 {
      try communicator.barrier()
      let clock = ContinuousClock()
      let start = clock.now
      try values.withUnsafeMutableBufferPointer { try communicator.allReduce($0, .max) }
      best = min(best, (clock.now - start).seconds)
    }
    return Double(bytes) / best * 1e-9
  }

  private mutating func describeLimits(_ communicator: any Communicator) throws {
    findings.append(("memory", Examination.memoryText))
    let cache = CacheDirectory.path()
    let isWritable = cache.map { (try? makeDirectory($0)) != nil && access($0, W_OK) == 0 } ?? false
    findings.append(("cache", cache.map { "\($0)\(isWritable ? "" : " (cannot be written)")" } ?? "none"))
    if try communicator.any(!isWritable) {
      remedies.append(
        "the cache directory cannot be written on every rank: set RETORT_CACHE to a writable one, otherwise text is "
          + "tokenised in every run")
    }
    var files = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files)
    findings.append(("open files", "at most \(files.rlim_cur)"))
    if files.rlim_cur < 256 {
      remedies.append("the limit of open files is \(files.rlim_cur): raise it with ulimit -n 1024")
    }
  }

  /// The findings in aligned lines, then the remedies.
  var text: String {
    let width = findings.map(\.name.count).max() ?? 0
    var lines = findings.map { $0.name + String(repeating: " ", count: width - $0.name.count + 2) + $0.value }
    lines += remedies.isEmpty ? ["nothing to fix"] : remedies.map { "fix: \($0)" }
    return lines.joined(separator: "\n")
  }

  var json: JSON {
    [
      "findings": .object(Dictionary(findings.map { ($0.name, JSON.string($0.value)) }) { first, _ in first }),
      "remedies": .array(remedies.map(JSON.string)),
    ]
  }

  private static var allowedCores: Int { ProcessInfo.processInfo.activeProcessorCount }

  /// The load average of the last minute.
  private static var loadText: String {
    var averages = [0.0, 0.0, 0.0]
    return getloadavg(&averages, 3) > 0 ? " (load average \(fixed(averages[0], 1)))" : ""
  }

  private static func line(_ key: String, in path: String) -> String? {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
    let line = text.split(separator: "\n").first { $0.hasPrefix(key) }
    return line?.split(separator: ":", maxSplits: 1).last.map { $0.trimmingCharacters(in: .whitespaces) }
  }

  private static var processorName: String { line("model name", in: "/proc/cpuinfo") ?? "unknown" }

  private static var memoryText: String {
    func mebibytes(_ key: String) -> String {
      let kibibytes = line(key, in: "/proc/meminfo")?.split(separator: " ").first.flatMap { Int($0) } ?? 0
      return grouped(kibibytes / 1024)
    }
    return "\(mebibytes("MemAvailable")) of \(mebibytes("MemTotal")) MiB free"
  }
}
