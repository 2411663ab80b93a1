import CKernels
import Foundation
import Platform

/// The instruction set of Retort's own kernels.
package enum KernelSet {
  /// The environment variable that names a set; unset or empty selects the best one.
  package static let variable = "RETORT_ISA"

  /// Its name: baseline, avx2, avx512, avx512bf16 or neon.
  package static var name: String { String(cString: rtk_isa_name()) }

  /// Throws a configuration error if `RETORT_ISA` names no set that this CPU can run.
  package static func requireKnown(in environment: [String: String] = ProcessInfo.processInfo.environment) throws {
    guard let wish = environment[variable], !wish.isEmpty, !rtk_isa_supported(wish) else { return }
    let sets = (["baseline", "avx2", "avx512", "avx512bf16", "neon"] as [String]).filter { rtk_isa_supported($0) }
    throw RetortError(
      .configuration, "\(variable)=\(wish) names no instruction set that this CPU has",
      remedy: "unset it, or set it to one of \(sets.joined(separator: ", "))")
  }
}
