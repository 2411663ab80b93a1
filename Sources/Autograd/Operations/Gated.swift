import CKernels
import Tensors

extension Tape {
  /// y = f(gate) · up, the gated unit of a feed-forward layer (Shazeer, 2020); SwiGLU if f is SiLU.
  ///
  /// - Parameter x: [R, 2·I], each row the outputs of the gate projection, then of the up projection; float32 or bf16.
  /// - Returns: [R, I] in the format of x; the backward pass recomputes it if it needs it, since x is kept anyway.
  package func gated(_ kind: Activation, _ x: Variable) -> Variable {
    precondition(x.value.columns % 2 == 0, "gates and ups in rows of \(x.value.columns)")
    let operation = GatedOperation(kind: kind, x: x)
    return record(operation.forward(), from: [x], recompute: { operation.forward() }, operation)
  }
}

struct GatedOperation: Operation {
  let kind: Activation
  let x: Variable

  func forward() -> Tensor {
    let (x, columns) = (x.value, x.value.columns / 2)
    let y = Tensor.matrix(uninitializedRows: x.rows, columns: columns, x.dtype)
    ThreadTeam.split(x.rows, cost: 3 * columns) { part in
      let (at, count) = (part.lowerBound * columns, part.count)
      if x.dtype == .bfloat16 {
        rtk_bf16_gated_forward(kind.kernel, y.bf16Words + at, x.bf16Words + 2 * at, count, columns)
      } else {
        rtk_gated_forward(kind.kernel, y.floats + at, x.floats + 2 * at, count, columns)
      }
    }
    return y
  }

  // dgate = dy · up · f′(gate), dup = dy · f(gate)
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    let (x, columns) = (x.value, dy.columns)
    let dx = Tensor.matrix(uninitializedRows: x.rows, columns: x.columns, x.dtype)
    ThreadTeam.split(x.rows, cost: 5 * columns) { part in
      let (at, count) = (part.lowerBound * columns, part.count)
      if x.dtype == .bfloat16 {
        rtk_bf16_gated_backward(
          kind.kernel, dx.bf16Words + 2 * at, dy.bf16Words + at, x.bf16Words + 2 * at, count, columns)
      } else {
        rtk_gated_backward(kind.kernel, dx.floats + 2 * at, dy.floats + at, x.floats + 2 * at, count, columns)
      }
    }
    gradients.add(dx, to: self.x)
  }
}
