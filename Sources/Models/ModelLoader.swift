import Autograd
import Datasets
import Platform
import Safetensors
import Tensors

/// A model in memory with its configuration and the warnings of its loading.
package struct LoadedModel {
  /// The model with its weights.
  package let model: any Model
  /// The configuration from which it was built.
  package let configuration: ModelConfiguration
  /// The initialised and the ignored tensors.
  package let report: LoadReport
  /// Warnings for the user, one sentence each.
  package var warnings: [String] = []

  /// The names of the outputs, by default `LABEL_0`, …; none for a language model.
  package var labels: LabelNames {
    configuration.isLanguageModel ? LabelNames([]) : configuration.labels ?? .generic(model.classCount)
  }
}

/// The initialised and the ignored tensors of a loaded checkpoint.
package struct LoadReport: Sendable, Equatable {
  /// Tensors of the file that the model does not have, such as pre-training heads.
  package var ignored: [String] = []
  /// Tensors of the model that the file lacks and that were initialised.
  package var initialized: [String] = []
  /// The ignored tensors that may change the model's answers, in one line with the file, or nil.
  package var warning: String?

  /// The report of a checkpoint that matches exactly.
  package init() {}

  /// One line with the initialised tensors, or nil if there are none.
  package var summary: String? {
    initialized.isEmpty ? nil : "initialised (not in the checkpoint): \(initialized.joined(separator: ", "))"
  }
}

/// The source of a model's weights.
package enum WeightOrigin {
  /// The family's initial distribution.
  case random
  /// A checkpoint with the model's own names.
  case checkpoint(any WeightSource)
  /// Another model's checkpoint, whose layer `layers[i]` becomes layer i; all weights outside the layers are unchanged.
  case layers([Int], of: any WeightSource)
}

/// Fills a weight of a model that is open but not loaded.
package typealias WeightFilling = (Parameter) -> Void

/// Builds models of every family and fills them from checkpoints, or with their initial distribution.
package enum ModelLoader {
  /// Builds a model of the configured family and sizes, or a part of one; its weights are zeros until they are loaded
  /// or initialised.
  ///
  /// Throws `.configuration` if the family or its sizes do not allow the part.
  package static func build(_ configuration: ModelConfiguration, part: ModelPart = .whole) throws -> any Model {
    try configuration.sizes.build(part: part, source: configuration.source)
  }

  /// Reads a model directory.
  ///
  /// - Parameters:
  ///   - directory: config.json and weights in Hugging Face layout.
  ///   - use: the use of the model; as a student's initial weights a checkpoint with another head gets a new one.
  ///   - task: the task that the model must serve; nil for any.
  ///   - labels: the classes of the task, or nil for any.
  ///   - seed: for tensors that the checkpoint lacks.
  /// Throws `.input` for unreadable files and for shapes that differ, with file, tensor and both shapes.
  package static func load(
    directory: String, for use: ModelUse = .answers, task: TaskKind? = nil, labels: LabelNames? = nil,
    seed: UInt64 = 0
  ) throws -> LoadedModel {
    let opened = try ModelDirectory(directory, for: use, task: task, labels: labels)
    let loaded = try load(opened.configuration, from: .checkpoint(opened.weights), seed: seed)
    return LoadedModel(
      model: loaded.model, configuration: loaded.configuration, report: loaded.report,
      warnings: opened.warnings(loaded.report))
  }

  /// Builds a model and fills it from its origin.
  package static func load(_ configuration: ModelConfiguration, from origin: WeightOrigin, seed: UInt64) throws
    -> LoadedModel
  {
    let (loaded, fill) = try open(configuration, from: origin, seed: seed)
    loaded.model.parameters.forEach(fill)
    return loaded
  }

  /// Builds a model and checks its origin; the weights are zeros, which take no memory, until `fill` fills one.
  ///
  /// For callers that do not hold all weights in memory at once.
  package static func open(_ configuration: ModelConfiguration, from origin: WeightOrigin, seed: UInt64) throws
    -> (loaded: LoadedModel, fill: WeightFilling)
  {
    let model = try build(configuration)
    let weights = try MatchedWeights(model, configuration, from: origin, seed: seed)
    weights.fillBuffers()
    return (LoadedModel(model: model, configuration: configuration, report: weights.report), weights.fill)
  }

  /// Checks names and shapes of a checkpoint against a configuration without reading the weights.
  package static func check(_ configuration: ModelConfiguration, from origin: WeightOrigin) throws -> LoadReport {
    try MatchedWeights(build(configuration), configuration, from: origin, seed: 0).report
  }

  /// The name of the classifier's matrix, [classes, hidden], in a checkpoint; nil for a family without classes.
  package static func headName(_ configuration: ModelConfiguration) throws -> String? {
    try configuration.sizes.classifierName
  }
}
