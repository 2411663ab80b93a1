import CKernels
import Tensors

extension Tape {
  /// y = factor · x for float32 x. The result overwrites its memory, so nothing may read x afterwards.
  package func scaled(_ x: Variable, by factor: Float) -> Variable {
    scale(x.value, by: factor)
    return record(x.value, from: [x], ScaledOperation(x: x.place, factor: factor))
  }
}

struct ScaledOperation: Operation {
  let x: VariablePlace
  let factor: Float

  // dx = factor · dy
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    let dx = gradients.isGivenOwned ? dy : dy.copy()
    scale(dx, by: factor)
    gradients.add(dx, to: x)
  }
}

private func scale(_ x: Tensor, by factor: Float) {
  ThreadTeam.split(x.count, unit: 64, cost: 2) { rtk_scale(x.floats + $0.lowerBound, factor, $0.count) }
}
