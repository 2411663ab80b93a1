import CKernels
import COneDNN
import COpenBLAS

#if canImport(Glibc)
  import Glibc
#endif

/// What Retort knows and sets of the linear algebra library.
public enum LinearAlgebraLibrary {
  /// The kernel family OpenBLAS chose when it was loaded, such as "SkylakeX".
  public static var coreName: String { openblas_get_corename().map { String(cString: $0) } ?? "unknown" }

  /// Build options and version of OpenBLAS as it says them.
  public static var configuration: String { openblas_get_config().map { String(cString: $0) } ?? "unknown" }

  /// Threads that a matrix multiply and Retort's own loops use.
  ///
  /// OpenBLAS is given one: it has a pool of its own, so `matrixMultiply` cuts its products up for `ThreadTeam`.
  public static func setThreads(_ count: Int) { ThreadTeam.setSize(count) }

  /// Bytes of addresses that OpenBLAS takes for each thread that multiplies: its own figure for x86 with AVX-512, the
  /// largest of its figures.
  public static let threadBytes = 128 << 20

  /// Leaves OpenBLAS one thread, at the first look.
  static let openBLASIsAlone: Void = openblas_set_num_threads(1)

  /// The version of oneDNN, such as "2.6.3".
  public static var oneDNNVersion: String {
    guard let version = dnnl_version() else { return "unknown" }
    return "\(version.pointee.major).\(version.pointee.minor).\(version.pointee.patch)"
  }

  /// What multiplies bf16 matrices, with everything that can change the last bits: equal names, equal products.
  public static var bf16Name: String {
    BF16Products.areNative ? "oneDNN \(oneDNNVersion) \(dnnl_get_effective_cpu_isa().rawValue)" : "widened"
  }

  /// The number of threads that a matrix multiply uses now.
  public static var threads: Int { ThreadTeam.size }

  /// The core type that OpenBLAS should be told, or nil when its own choice is right.
  ///
  /// OpenBLAS knows CPUs by model number: one that is newer than the library gets an AVX2 kernel, half the speed
  /// on a CPU with AVX-512.
  public static var betterCoreType: String? {
    let withAVX512: Set = ["SkylakeX", "Cooperlake", "SapphireRapids", "Zen4", "Zen5"]
    guard rtk_isa_supported("avx512"), !withAVX512.contains(where: { coreName.lowercased() == $0.lowercased() })
    else { return nil }
    return "SkylakeX"
  }

  /// The variable that overrides the choice: a core type of OpenBLAS, or `keep` to leave the library as it is.
  public static let coreTypeVariable = "RETORT_OPENBLAS_CORETYPE"

  /// Starts this program anew, once, with the better core type, when OpenBLAS runs a slow one.
  ///
  /// OpenBLAS reads `OPENBLAS_CORETYPE` only when it is loaded, so this must run before anything else, MPI above all.
  /// A slow type in that variable is replaced too: images and modules set one for all machines. A person who means it
  /// says so in `RETORT_OPENBLAS_CORETYPE`.
  public static func restartWithBetterCoreTypeIfNeeded() {
    let mark = "RETORT_RESTARTED"
    guard getenv(mark) == nil else { return }
    let wish = getenv(coreTypeVariable).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    guard wish != "keep", let wanted = wish ?? betterCoreType else { return }
    setenv("OPENBLAS_CORETYPE", wanted, 1)
    setenv(mark, "1", 1)
    // By itself an OpenMP thread spins for milliseconds before it sleeps: too long where others wait for its core.
    if getenv("OMP_WAIT_POLICY") == nil { setenv("GOMP_SPINCOUNT", "1000", 0) }
    var arguments: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) }
    arguments.append(nil)
    // The restart is an optimisation: where it fails the program goes on, right but slower.
    execv("/proc/self/exe", &arguments)
  }
}
