import Platform
import Tensors

/// The keys of signal stores: digests of everything that determines a teacher's signals besides the example.
///
/// An example is identified by the ids (or numbers) that the teacher reads, so the hash of each entry covers tokenizer
/// and maximum length. The bits of a signal depend on the program with its kernels, on the instruction set, and in bf16
/// on the matrix library; they do not depend on the number of threads (see `rowProduct`).
package enum SignalKey {
  /// The key of a teacher, 64 hexadecimal digits.
  ///
  /// - Parameters:
  ///   - teacher: the digest of its configuration and weights.
  ///   - labels: the classes in the order of its logits.
  ///   - precision: the precision of its passes.
  ///   - program: the digest of the program.
  package static func of(
    teacher: String, labels: [String], precision: Precision, program: String
  ) -> String {
    let digest = Digest()
    for part in ["retort teacher signals", teacher, precision.rawValue, program, KernelSet.name] {
      digest.update(part)
    }
    if precision == .bf16 { digest.update(LinearAlgebraLibrary.bf16Name) }
    digest.update(UInt64(SignalFormat.version))
    digest.update(UInt64(labels.count))
    labels.forEach(digest.update(_:))
    return digest.finish()
  }

  /// The digest of the running program.
  package static let program: String = (try? Digest.ofFile("/proc/self/exe")) ?? "unknown"
}
