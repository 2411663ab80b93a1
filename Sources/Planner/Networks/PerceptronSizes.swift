import Models

/// The sizes of a multilayer perceptron on numeric columns.
public struct PerceptronSizes: NetworkSizes, Equatable {
  /// The widths of columns, hidden layers and classes.
  public let sizes: [Int]

  /// Makes the sizes from columns through hidden layers to classes; at least two numbers.
  public init(sizes: [Int]) {
    precondition(sizes.count >= 2, "a perceptron has columns and classes")
    self.sizes = sizes
  }

  public var shape: ModelShape? { nil }
  public var name: String { "perceptron " + sizes.map(String.init).joined(separator: "-") }
  public var layerCount: Int { sizes.count - 1 }
  public var hiddenSize: Int { sizes.dropLast().max() ?? 1 }
  public var headCount: Int { 1 }
  public var classCount: Int { sizes[sizes.count - 1] }
  public var isLanguageModel: Bool { false }
  public var maximumPositions: Int? { nil }
  public var isTied: Bool { false }
  public var hasDividedHead: Bool { false }
  public var roundsStates: Bool { false }
  /// 0, since it is never tensor-parallel.
  public func summedElements(_ load: TokenLoad) -> Int { 0 }

  /// Σ (inputs + 1)·outputs.
  public var tensors: [WeightTensor] {
    zip(sizes, sizes.dropFirst()).enumerated().flatMap { index, size in
      [WeightTensor(size.1, size.0, block: index + 1, isFactor: true), WeightTensor(size.1, block: index + 1)]
    }
  }

  /// Σ 2·inputs·outputs per row.
  public func forwardFLOPs(_ load: TokenLoad) -> Double {
    Double(load.sequences) * zip(sizes, sizes.dropFirst()).reduce(0.0) { $0 + 2 * Double($1.0) * Double($1.1) }
  }

  public func headFLOPs(rows: Int) -> Double { 2 * Double(rows) * Double(sizes[sizes.count - 2]) * Double(classCount) }
  public func keptBytes(_ format: PlannedFormat) -> Int { 3 * hiddenSize * format.bytes }
  public func backwardBytes(_ format: PlannedFormat) -> Int { 2 * hiddenSize * format.bytes }
  public func inferenceBytes(_ format: PlannedFormat) -> Int { 2 * hiddenSize * format.bytes }
}
