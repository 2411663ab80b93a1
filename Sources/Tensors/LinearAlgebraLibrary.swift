import CKernels
import COneDNN
import COpenBLAS

#if canImport(Glibc)
  import Glibc
#endif

/// The state and settings of the linear algebra libraries.
package enum LinearAlgebraLibrary {
  /// The kernel family that OpenBLAS chose when it was loaded, such as "SkylakeX".
  package static var coreName: String { openblas_get_corename().map { String(cString: $0) } ?? "unknown" }

  /// The build options and version that OpenBLAS reports.
  package static var configuration: String { openblas_get_config().map { String(cString: $0) } ?? "unknown" }

  /// Sets the threads of matrix multiplies and of Retort's own loops.
  ///
  /// OpenBLAS gets one thread, since it has its own pool; `matrixMultiply` splits its products over `ThreadTeam`.
  package static func setThreads(_ count: Int) { ThreadTeam.setSize(count) }

  /// Bytes of address space that OpenBLAS takes per multiplying thread: its constant for x86 with AVX-512, the largest
  /// one.
  package static let threadBytes = 128 << 20

  /// Sets OpenBLAS to one thread on first access.
  static let openBLASIsAlone: Void = openblas_set_num_threads(1)

  /// The version of oneDNN, such as "2.6.3".
  package static var oneDNNVersion: String {
    guard let version = dnnl_version() else { return "unknown" }
    return "\(version.pointee.major).\(version.pointee.minor).\(version.pointee.patch)"
  }

  /// The bf16 multiply in use, with everything that can change its last bits: equal names mean equal products.
  package static var bf16Name: String {
    BF16Products.areNative ? "oneDNN \(oneDNNVersion) \(dnnl_get_effective_cpu_isa().rawValue)" : "widened"
  }

  /// The number of threads that a matrix multiply uses now.
  package static var threads: Int { ThreadTeam.size }

  /// The core type that OpenBLAS should use, or nil if its own choice is right.
  ///
  /// OpenBLAS identifies CPUs by model number: a CPU newer than the library gets an AVX2 kernel, half the speed of
  /// AVX-512.
  package static var betterCoreType: String? {
    let withAVX512: Set = ["SkylakeX", "Cooperlake", "SapphireRapids", "Zen4", "Zen5"]
    guard rtk_isa_supported("avx512"), !withAVX512.contains(where: { coreName.lowercased() == $0.lowercased() })
    else { return nil }
    return "SkylakeX"
  }

  /// The environment variable that overrides the choice: a core type of OpenBLAS, or `keep` for the library's own.
  package static let coreTypeVariable = "RETORT_OPENBLAS_CORETYPE"

  /// Restarts this program once, with the better core type, if OpenBLAS has chosen a slow one.
  ///
  /// OpenBLAS reads `OPENBLAS_CORETYPE` only when it is loaded, so this must run before anything else, MPI included.
  /// A slow type in that variable is replaced too, since images and modules set one for all machines;
  /// `RETORT_OPENBLAS_CORETYPE` overrides this.
  package static func restartWithBetterCoreTypeIfNeeded() {
    let mark = "RETORT_RESTARTED"
    guard getenv(mark) == nil else { return }
    let wish = getenv(coreTypeVariable).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    guard wish != "keep", let wanted = wish ?? betterCoreType else { return }
    setenv("OPENBLAS_CORETYPE", wanted, 1)
    setenv(mark, "1", 1)
    // By default an OpenMP thread spins for milliseconds before it sleeps, too long if other threads need its core.
    if getenv("OMP_WAIT_POLICY") == nil { setenv("GOMP_SPINCOUNT", "1000", 0) }
    var arguments: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) }
    arguments.append(nil)
    // The restart is an optimisation: if it fails, the program continues with the slower kernels.
    execv("/proc/self/exe", &arguments)
  }
}
