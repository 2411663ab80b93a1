import Tensors

extension Tape {
  /// The same numbers in another format, bf16 or float32; x itself if it has that format.
  ///
  /// The gradient of x has the format of x.
  package func converted(_ x: Variable, to format: DType) -> Variable {
    if x.value.dtype == format { return x }
    return record(x.value.converted(to: format), from: [x], ConvertOperation(x: x.place))
  }
}

struct ConvertOperation: Operation {
  let x: VariablePlace

  // dx = dy, which `Gradients` converts to the format of x.
  func backward(_ dy: Tensor, _ gradients: inout Gradients) { gradients.add(dy, to: x, owned: false) }
}
