import Datasets
import Models
import Planner
import Platform

/// A model's sizes for a plan, from its configuration alone; throws `.input` with file and key.
func plannedNetwork(_ configuration: ModelConfiguration, classes: Int?) throws -> any NetworkSizes {
  switch try configuration.sizes {
  case let encoder as EncoderConfiguration:
    return EncoderSizes(
      encoder.with(classes: classes ?? encoder.classCount), family: configuration.family.rawValue)
  case let decoder as DecoderConfiguration:
    return try DecoderSizes(
      decoder.with(classes: classes ?? decoder.outputCount), family: configuration.family.rawValue)
  case let perceptron as PerceptronConfiguration:
    return PerceptronSizes(
      sizes: [perceptron.inputSize] + perceptron.hiddenSizes + [classes ?? perceptron.classCount])
  default:
    throw RetortError(
      .unexpected, "a \(configuration.family.rawValue) model has no plan", at: configuration.source)
  }
}

extension ModelConfiguration {
  /// Makes a configuration from sizes in the chain file, for the classes of the task; throws `.configuration` for
  /// impossible sizes.
  init(written keys: [String: JSON], at location: String, kind: TaskKind, labels: LabelNames? = nil) throws {
    do {
      let plain = try ModelConfiguration(.object(keys), source: location).with(kind: kind)
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
