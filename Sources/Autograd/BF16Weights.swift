import CKernels
import Tensors

/// bf16 copies of float32 weights, each made at its first use after the weights changed.
///
/// The copies do not see a change of the weights by themselves. Whoever holds this object over several passes is
/// whoever decides when weights change: a trainer calls `outdate` before the passes of every step. A frozen model holds
/// bf16 weights itself, which are used as they are.
public final class BF16Weights {
  private var copies: [ObjectIdentifier: (copy: Tensor, of: Parameter, version: Int)] = [:]
  private var version = 0

  /// No copies yet.
  public init() {}

  /// Takes every copy as old: at its next use it is made anew, in the same memory.
  public func outdate() { version += 1 }

  /// Lets the copies of some weights go, whose own values are let go as well.
  public func forget(_ parameters: [Parameter]) {
    for parameter in parameters { copies[ObjectIdentifier(parameter)] = nil }
  }

  /// The values of a weight in bf16, of the same shape.
  package func copy(of parameter: Parameter) -> Tensor {
    if parameter.value.dtype == .bfloat16 { return parameter.value }
    let key = ObjectIdentifier(parameter)
    // The parameter is held, so its identity cannot become another's.
    if let kept = copies[key], kept.version == version { return kept.copy }
    let copy = copies[key]?.copy ?? Tensor(uninitialized: parameter.shape, .bfloat16)
    rtk_f32_to_bf16(copy.bf16Words, parameter.value.floats, parameter.count)
    copies[key] = (copy, parameter, version)
    return copy
  }
}
