import CKernels

/// The instruction set that Retort's own kernels use.
public enum KernelSet {
  /// Its name: baseline, avx2, avx512, avx512bf16 or neon.
  public static var name: String { String(cString: rtk_isa_name()) }
}
