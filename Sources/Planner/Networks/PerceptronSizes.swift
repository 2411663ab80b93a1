import Models

/// The sizes of a multilayer perceptron on numeric columns.
package struct PerceptronSizes: NetworkSizes, Equatable {
  /// The widths of columns, hidden layers and classes.
  package let sizes: [Int]

  /// Makes the sizes from columns through hidden layers to classes; at least two numbers.
  package init(sizes: [Int]) {
    precondition(sizes.count >= 2, "a perceptron has columns and classes")
    self.sizes = sizes
  }

  package var shape: ModelShape? { nil }
  package var name: String { "perceptron " + sizes.map(String.init).joined(separator: "-") }
  package var layerCount: Int { sizes.count - 1 }
  package var hiddenSize: Int { sizes.dropLast().max() ?? 1 }
  package var headCount: Int { 1 }
  package var classCount: Int { sizes[sizes.count - 1] }
  package var isLanguageModel: Bool { false }
  package var maximumPositions: Int? { nil }
  package var isTied: Bool { false }
  package var hasDividedHead: Bool { false }
  package var roundsStates: Bool { false }
  /// 0, since it is never tensor-parallel.
  package func summedElements(_ load: TokenLoad) -> Int { 0 }

  /// Σ (inputs + 1)·outputs.
  package var tensors: [WeightTensor] {
    zip(sizes, sizes.dropFirst()).enumerated().flatMap { index, size in
      [WeightTensor(size.1, size.0, block: index + 1, isFactor: true), WeightTensor(size.1, block: index + 1)]
    }
  }

  /// Σ 2·inputs·outputs per row.
  package func forwardFLOPs(_ load: TokenLoad) -> Double {
    Double(load.sequences) * zip(sizes, sizes.dropFirst()).reduce(0.0) { $0 + 2 * Double($1.0) * Double($1.1) }
  }

  package func headFLOPs(rows: Int) -> Double { 2 * Double(rows) * Double(sizes[sizes.count - 2]) * Double(classCount) }
  package func keptBytes(_ format: PlannedFormat) -> Int { 3 * hiddenSize * format.bytes }
  package func backwardBytes(_ format: PlannedFormat) -> Int { 2 * hiddenSize * format.bytes }
  package func inferenceBytes(_ format: PlannedFormat) -> Int { 2 * hiddenSize * format.bytes }
}
