import CKernels
import Tensors

/// The activation functions that model configurations name.
package enum Activation: String, Sendable, CaseIterable {
  /// x·Φ(x), with the error function.
  case gelu
  /// The tanh approximation of GELU.
  case geluTanh = "gelu_new"
  case relu
  case tanh
  /// x·sigmoid(x).
  case silu
  case sigmoid

  /// The activation of a Hugging Face `hidden_act`, synonyms included; nil if Retort has none with that name.
  package init?(huggingFaceName name: String) {
    switch name {
    case "gelu_pytorch_tanh", "gelu_fast": self = .geluTanh
    case "swish": self = .silu
    default:
      guard let value = Activation(rawValue: name) else { return nil }
      self = value
    }
  }

  var kernel: rtk_activation {
    switch self {
    case .gelu: RTK_GELU
    case .geluTanh: RTK_GELU_TANH
    case .relu: RTK_RELU
    case .tanh: RTK_TANH
    case .silu: RTK_SILU
    case .sigmoid: RTK_SIGMOID
    }
  }
}

extension Tape {
  /// y = f(x), element by element, in the format of x.
  ///
  /// In bf16 the backward pass recomputes y if it needs it, since x is kept anyway.
  package func activation(_ kind: Activation, _ x: Variable) -> Variable {
    let (input, function) = (x.value, kind.kernel)
    guard input.dtype == .bfloat16 else {
      let y = Tensor(uninitialized: x.shape)
      ThreadTeam.split(y.count, unit: 64, cost: 2) { part in
        rtk_activation_forward(function, y.floats + part.lowerBound, input.floats + part.lowerBound, part.count)
      }
      return record(y, from: [x], ActivationOperation(kind: kind, x: x))
    }
    let make: @Sendable () -> Tensor = {
      let y = Tensor.bf16(uninitializedRows: input.rows, columns: input.columns)
      ThreadTeam.split(y.count, unit: 64, cost: 2) { part in
        let first = part.lowerBound
        rtk_bf16_activation_forward(function, y.bf16Words + first, input.bf16Words + first, part.count)
      }
      return y
    }
    return record(make(), from: [x], recompute: make, ActivationOperation(kind: kind, x: x))
  }
}

struct ActivationOperation: Operation {
  let kind: Activation
  let x: Variable

  // dx = dy · f′(x)
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    let dx = Tensor.matrix(uninitializedRows: x.value.rows, columns: x.value.columns, x.value.dtype)
    let x = x.value
    ThreadTeam.split(dx.count, unit: 64, cost: 3) { part in
      let (i, count) = (part.lowerBound, part.count)
      if dx.dtype == .bfloat16 {
        rtk_bf16_activation_backward(
          kind.kernel, dx.bf16Words + i, dy.bf16Words + i, x.bf16Words + i, count)
      } else {
        rtk_activation_backward(kind.kernel, dx.floats + i, dy.floats + i, x.floats + i, count)
      }
    }
    gradients.add(dx, to: self.x)
  }
}
