import CKernels

/// The number format of a pass: of the operands of matrix multiplies and of the activations between operations.
///
/// Sums, statistics, softmax, losses, weights and their gradients are float32 in both.
package enum Precision: String, Sendable, CaseIterable {
  /// 24-bit significands.
  case fp32
  /// The upper half of float32: 8-bit significands, rounded to nearest even.
  case bf16

  /// The faster one on this machine: bf16 if the CPU multiplies it natively and oneDNN uses those instructions.
  package static var native: Precision { rtk_has_native_bf16() && BF16Products.areNative ? .bf16 : .fp32 }
}
