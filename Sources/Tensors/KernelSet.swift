import CKernels

/// The instruction set of Retort's own kernels.
public enum KernelSet {
  /// Its name: baseline, avx2, avx512, avx512bf16 or neon.
  public static var name: String { String(cString: rtk_isa_name()) }
}
