import CKernels
import Tensors

/// bf16 copies of float32 weights, each made at its first use after the weights changed.
///
/// A copy cannot detect that its weight changed. A trainer, which holds this object over several passes, calls
/// `invalidate` before the passes of every optimizer step, or keeps the copies up to date itself (`adopt`). A frozen
/// model holds bf16 weights itself, which are used directly.
package final class BF16Weights {
  private var copies: [ObjectIdentifier: (copy: Tensor, of: Parameter, version: Int)] = [:]
  private var version = 0
  /// Copies that others keep up to date.
  private var adopted: [ObjectIdentifier: (copy: Tensor, of: Parameter)] = [:]

  /// No copies yet.
  package init() {}

  /// Invalidates all copies; each is rounded again at its next use, in the same memory.
  package func invalidate() { version += 1 }

  /// Uses bf16 tensors as the copies of some weights; the caller rounds the weights into them after each change.
  package func adopt(_ copies: [(Parameter, Tensor)]) {
    for (parameter, copy) in copies { adopted[ObjectIdentifier(parameter)] = (copy, parameter) }
  }

  /// Releases the copies of weights whose own values are released too.
  package func forget(_ parameters: [Parameter]) {
    for parameter in parameters { copies[ObjectIdentifier(parameter)] = nil }
  }

  /// The values of a weight in bf16, of the same shape.
  package func copy(of parameter: Parameter) -> Tensor {
    if parameter.value.dtype == .bfloat16 { return parameter.value }
    let key = ObjectIdentifier(parameter)
    if let kept = adopted[key] { return kept.copy }
    // The entry holds the parameter, so no other parameter can get its identity.
    if let kept = copies[key], kept.version == version { return kept.copy }
    let copy = copies[key]?.copy ?? Tensor(uninitialized: parameter.shape, .bfloat16)
    rtk_f32_to_bf16(copy.bf16Words, parameter.value.floats, parameter.count)
    copies[key] = (copy, parameter, version)
    return copy
  }
}
