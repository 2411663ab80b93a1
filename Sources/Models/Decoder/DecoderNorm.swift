import Autograd
import Layers

/// A norm of a decoder's residual stream, which is float32.
enum DecoderNorm {
  case rms(RMSNorm)
  case layer(LayerNorm)

  /// Scale, then shift if there is one.
  var parameters: [Parameter] {
    switch self {
    case .rms(let norm): norm.parameters
    case .layer(let norm): norm.parameters
    }
  }

  /// The norm of x, [R, size], in the format that products read.
  func callAsFunction(_ x: Variable, _ context: ForwardContext) -> Variable {
    switch self {
    case .rms(let norm): norm(x, context)
    case .layer(let norm): norm.stream(x, context).output
    }
  }

  /// x + residual in float32, and the norm of that, each [R, size].
  func callAsFunction(_ x: Variable, residual: Variable, _ context: ForwardContext) -> (
    sum: Variable, output: Variable
  ) {
    switch self {
    case .rms(let norm): norm(x, residual: residual, context)
    case .layer(let norm): norm.stream(x, residual: residual, context)
    }
  }

  /// The norm of x in float32, [R, size], to be added to the residual stream.
  func wide(_ x: Variable, _ context: ForwardContext) -> Variable {
    switch self {
    case .rms(let norm): norm.wide(x, context)
    case .layer(let norm): norm.stream(x, wide: true, context).output
    }
  }
}

extension DecoderConfiguration {
  /// A norm of the residual stream.
  func newNorm(_ name: String) -> DecoderNorm {
    norm == .layer
      ? .layer(LayerNorm(name, size: hiddenSize, epsilon: normEpsilon))
      : .rms(RMSNorm(name, size: hiddenSize, epsilon: normEpsilon, offset: scaleOffset))
  }

  /// The norms of the heads of queries and keys, if the family has them.
  func newHeadNorm(_ name: String) -> HeadNorm? {
    normalizesHeads ? HeadNorm(name, headSize: headSize, epsilon: normEpsilon, offset: scaleOffset) : nil
  }

  /// What a norm adds to its weights.
  private var scaleOffset: Float { norm == .shiftedRMS ? 1 : 0 }

  /// The rotary angles of each kind of scaling that a layer has.
  var rotaryTables: [RotaryScaling: RotaryTable] {
    Dictionary(
      layers.compactMap(\.rotary).map { ($0, $0) }, uniquingKeysWith: { first, _ in first }
    ).mapValues { RotaryTable(frequencies: $0.frequencies(headSize: headSize)) }
  }
}
