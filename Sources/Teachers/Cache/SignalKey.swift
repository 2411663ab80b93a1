import Platform
import Tensors

/// The names of stores: digests of everything that decides a teacher's answer besides the example.
///
/// The example itself is the ids (or numbers) that the teacher reads, so its tokenizer and the maximum length are in
/// the hash of each entry. Bits depend on the program, whose kernels compute the answer, on the instruction set that
/// they run on, and in bf16 on the matrix library; not on the number of threads, as `rowProduct` explains.
public enum SignalKey {
  /// The key of a teacher, 64 hexadecimal digits.
  ///
  /// - Parameters:
  ///   - teacher: digest of its configuration and weights.
  ///   - labels: the classes in the order of its logits.
  ///   - precision: of its passes.
  ///   - program: what computes them.
  public static func of(
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

  /// Digest of the running program.
  public static let program: String = (try? Digest.ofFile("/proc/self/exe")) ?? "unknown"
}
