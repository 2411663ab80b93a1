import CKernels
import Tensors

#if canImport(Glibc)
  import Glibc
#endif

/// AdamW's constants (Loshchilov and Hutter, 2019).
package struct AdamWConfiguration: Sendable, Equatable {
  /// β₁, the decay of the gradient's mean, 0 ..< 1.
  package var beta1: Double
  /// β₂, the decay of the squared gradient's mean, 0 ..< 1.
  package var beta2: Double
  /// ε > 0, added to the root of the second moment.
  package var epsilon: Double
  /// λ, decoupled: an optimizer step shrinks the weights of decaying segments by lr·λ.
  package var weightDecay: Double

  /// Makes the constants; the defaults are those of `transformers`, without decay.
  package init(beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8, weightDecay: Double = 0) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
  }
}

extension AdamWConfiguration {
  /// The kernel's constants of optimizer step t, from 1.
  func constants(step: Int, learningRate: Double, gradientScale: Double, decays: Bool) -> rtk_adamw_step {
    rtk_adamw_step(
      beta1: Float(beta1), rest1: Float(1 - beta1), beta2: Float(beta2), rest2: Float(1 - beta2),
      epsilon: Float(epsilon), keep: Float(decays ? 1 - learningRate * weightDecay : 1),
      rate: Float(learningRate / (1 - pow(beta1, Double(step)))),
      root_scale: Float(1 / (1 - pow(beta2, Double(step))).squareRoot()), gradient_scale: Float(gradientScale))
  }
}

/// A range of elements of a flat buffer with the same setting for weight decay.
package struct ParameterSegment: Sendable, Equatable {
  /// The elements in the flat buffer.
  package let range: Range<Int>
  /// Whether weight decay applies to them.
  package let decays: Bool

  /// Makes a segment of the elements in `range`, with or without weight decay.
  package init(range: Range<Int>, decays: Bool) {
    self.range = range
    self.decays = decays
  }
}

/// AdamW on the part of a flat parameter buffer that this rank owns.
///
/// For step t: m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², p ← p − lr·λ·p − lr·(m/(1−β₁ᵗ)) / (√(v/(1−β₂ᵗ)) + ε).
/// The moments of the owned elements are contiguous, in the order of `segments`.
package struct AdamW {
  /// β₁, β₂, ε and λ.
  package private(set) var configuration: AdamWConfiguration
  /// The owned elements, in the order of their moments.
  package let segments: [ParameterSegment]
  /// Where the moments of each segment begin.
  private let offsets: [Int]
  /// First moments of the owned elements, [owned].
  package let firstMoments: Tensor
  /// Second moments of the owned elements, [owned].
  package let secondMoments: Tensor

  /// Starts with zero moments, which use 8 bytes per owned element.
  package init(_ configuration: AdamWConfiguration, segments: [ParameterSegment]) {
    self.configuration = configuration
    self.segments = segments
    var owned = 0
    offsets = segments.map { segment in
      defer { owned += segment.range.count }
      return owned
    }
    firstMoments = .zeros([owned])
    secondMoments = .zeros([owned])
  }

  /// Starts over with zero moments and t = 1, for the next training stage.
  package mutating func restart(_ configuration: AdamWConfiguration) {
    self.configuration = configuration
    firstMoments.fill(0)
    secondMoments.fill(0)
  }

  /// Updates the owned parameters, or some segments of them, once.
  ///
  /// - Parameters:
  ///   - parameters: the whole flat buffer, or only the owned elements in the order of the segments.
  ///   - gradients: likewise; the owned elements are already summed over ranks.
  ///   - rounded: bf16, like `parameters`; gets the new values rounded.
  ///   - chosen: indices into `segments`; nil for all.
  ///   - step: t, from 1.
  ///   - learningRate: the learning rate of this step.
  ///   - gradientScale: the factor on the gradients, from clipping.
  package func update(
    _ parameters: Tensor, gradients: Tensor, rounded: Tensor? = nil, segments chosen: Range<Int>? = nil, step: Int,
    learningRate: Double, gradientScale: Double
  ) {
    func constants(decays: Bool) -> rtk_adamw_step {
      configuration.constants(step: step, learningRate: learningRate, gradientScale: gradientScale, decays: decays)
    }
    let (plain, decaying) = (constants(decays: false), constants(decays: true))
    for index in chosen ?? segments.indices {
      let (segment, offset) = (segments[index], offsets[index])
      let constants = segment.decays ? decaying : plain
      func start(in tensor: Tensor) -> Int { tensor.count == firstMoments.count ? offset : segment.range.lowerBound }
      let (p, g) = (parameters.floats + start(in: parameters), gradients.floats + start(in: gradients))
      let (m, v) = (firstMoments.floats + offset, secondMoments.floats + offset)
      let words = rounded.map { $0.bf16Words + start(in: $0) }
      ThreadTeam.split(segment.range.count, unit: 64, cost: 7) { part in
        // In pieces that stay in the cache until they are rounded.
        for first in stride(from: part.lowerBound, to: part.upperBound, by: AdamW.piece) {
          let count = min(AdamW.piece, part.upperBound - first)
          withUnsafePointer(to: constants) { rtk_adamw(p + first, g + first, m + first, v + first, count, $0) }
          if let words { rtk_f32_to_bf16(words + first, p + first, count) }
        }
      }
    }
  }

  private static let piece = 2048
}

/// Gradient clipping by the global norm.
package enum Clipping {
  /// The factor for gradients of this norm: min(1, limit / (norm + 1e-6)), as PyTorch's `clip_grad_norm_`; 1 without a
  /// limit.
  package static func scale(norm: Double, limit: Double?) -> Double {
    guard let limit else { return 1 }
    return min(1, limit / (norm + 1e-6))
  }
}
