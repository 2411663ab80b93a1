import Models
import Planner
import Platform

/// A model's sizes for a plan, from its configuration alone; throws `.input` with file and key.
func plannedNetwork(_ configuration: ModelConfiguration, classes: Int?) throws -> any NetworkSizes {
  switch configuration.family {
  case .bert, .bertHash:
    let bert = try BERTConfiguration(configuration)
    return BERTSizes(
      vocabularySize: bert.vocabularySize, hiddenSize: bert.hiddenSize, layerCount: bert.layerCount,
      headCount: bert.headCount, intermediateSize: bert.intermediateSize, positions: bert.maximumPositions,
      tokenTypes: bert.tokenTypes, classCount: classes ?? bert.classCount, projections: bert.projections)
  case .llama, .mistral, .qwen2:
    let llama = try LlamaConfiguration(configuration)
    return LlamaSizes(
      vocabularySize: llama.vocabularySize, hiddenSize: llama.hiddenSize, layerCount: llama.layerCount,
      headCount: llama.headCount, keyValueHeads: llama.keyValueHeadCount, headSize: llama.headSize,
      intermediateSize: llama.intermediateSize, isTied: llama.isTied, hasProjectionBias: llama.hasProjectionBias,
      hasOutputBias: llama.hasOutputBias, hasFeedForwardBias: llama.hasFeedForwardBias,
      maximumPositions: llama.maximumPositions)
  case .perceptron:
    let perceptron = try PerceptronConfiguration(configuration)
    return PerceptronSizes(
      sizes: [perceptron.inputSize] + perceptron.hiddenSizes + [classes ?? perceptron.classCount])
  }
}

extension ModelConfiguration {
  /// Makes a configuration from sizes in the chain file, for the classes of the task; throws `.configuration` for
  /// impossible sizes.
  init(written keys: [String: JSON], at location: String, labels: LabelNames? = nil) throws {
    do {
      let plain = try ModelConfiguration(.object(keys), source: location)
      self = labels.map(plain.with(labels:)) ?? plain
      // Reads and checks every size without building a model.
      _ = try layerCount
    } catch {
      var refusal = RetortError.wrap(error)
      if refusal.kind == .input { refusal.kind = .configuration }
      throw refusal
    }
  }
}
