import Autograd
import Platform

/// The sizes of a multilayer perceptron over numeric columns; with no hidden layer it is multinomial logistic
/// regression.
package struct PerceptronConfiguration: Sendable, Equatable {
  /// Numeric columns.
  package let inputSize: Int
  /// Units of each hidden layer; empty for one linear layer.
  package let hiddenSizes: [Int]
  /// The activation after every hidden layer.
  package let activation: Activation
  /// Dropout after every hidden layer's activation, 0 to 0.99.
  package let dropout: Float
  /// The number of classes of `id2label` or `num_labels`, by default 2.
  package let classCount: Int

  /// Reads `input_size`, `hidden_sizes`, `hidden_act`, `dropout`; throws `.input` with file and key.
  package init(_ configuration: ModelConfiguration) throws {
    if configuration.json["input_size"]?.isNull ?? true {
      throw RetortError(
        .input, "the key input_size is missing", at: configuration.source,
        remedy: "set it to the number of numeric columns of the data: {family: perceptron, input_size: 30, …}")
    }
    inputSize = try configuration.size("input_size")
    let source = configuration.source
    let listed = configuration.json["hidden_sizes"] ?? []
    guard let sizes = listed.array?.map(\.int), sizes.allSatisfy({ ($0 ?? 0) > 0 && $0! <= 1 << 24 }) else {
      throw RetortError(
        .input, "hidden_sizes is \(listed.text()), a list of positive whole numbers was expected", at: source)
    }
    hiddenSizes = sizes.compactMap { $0 }
    activation = try configuration.activation(default: .relu)
    dropout = try configuration.number("dropout", default: 0, in: 0...0.99)
    if configuration.json["id2label"]?.object?.isEmpty ?? true {
      _ = try configuration.size("num_labels", default: 2, most: LabelNames.most)
    }
    classCount = configuration.labels?.names.count ?? 2
    let widths = [inputSize] + hiddenSizes + [classCount]
    try configuration.requireBuildable(weights: zip(widths, widths.dropFirst()).map { [$0, $1] })
  }
}

extension PerceptronConfiguration: ModelSizes {
  package var depth: Int? { nil }
  package var textTypes: Int? { nil }
  package var contextLength: Int? { nil }
  package var vocabulary: Int? { nil }
  package var text: String { ([inputSize] + hiddenSizes + [classCount]).map(String.init).joined(separator: "-") }
  package var classifierName: String? { "layers.\(hiddenSizes.count).weight" }

  package var probes: [(names: [String], shape: [Int])] {
    let widths = [inputSize] + hiddenSizes
    return zip(widths, widths.dropFirst()).enumerated().map { index, widths in
      (["layers.\(index).weight"], [widths.1, widths.0])
    }
  }

  package func build(part: ModelPart, source: String) throws -> any Model {
    if part.isWhole { return Perceptron(self) }
    throw RetortError(
      .configuration, "a perceptron model cannot be divided", at: source, remedy: "keep it whole on each rank")
  }
}
