import Datasets
import Platform
import Safetensors

/// A family whose body is `DecoderModel`'s.
package protocol DecoderFamily: FamilyDefinition {
  /// What distinguishes the family.
  var traits: DecoderTraits { get }
}

extension DecoderFamily {
  package var isLanguageModel: Bool { true }
  package var heads: Set<TaskDefinition.Head> { [.languageModel, .sequence] }
  package var layerMarker: String { traits.names.layers }
  package var anchors: [String] { traits.names.spellings("\(traits.names.prefix)\(traits.names.words).weight") }

  /// Llama's keys, which a family with names of its own reads too.
  package var keyAliases: [String: String] {
    let own = traits.keys.all + [traits.dropoutKeys.attention]
    return Dictionary(
      uniqueKeysWithValues: zip(DecoderTraits.Keys().all + [DecoderTraits.DropoutKeys().attention], own)
        .filter { $0 != $1 })
  }

  /// A decoder without a head tensor may be tied.
  package func head(ofTensorsIn source: any WeightSource) -> CheckpointHead {
    if source.contains("\(traits.names.head).weight") { return .causalLanguageModel }
    if source.contains("score.weight") || source.contains("classifier.weight") { return .sequenceClassification }
    return source.contains("qa_outputs.weight") ? .questionAnswering : .none
  }

  package func sizes(_ configuration: ModelConfiguration) throws -> any ModelSizes {
    try DecoderConfiguration(configuration, traits)
  }

  package func layerLists(_ configuration: ModelConfiguration) throws -> [String: [JSON]] {
    try traits.layerLists(configuration, DecoderConfiguration(configuration, traits).layerCount)
  }
}

extension DecoderConfiguration {
  /// Reads and checks the keys of a decoder; throws `.input` naming file and key, and for another family.
  package init(_ configuration: ModelConfiguration) throws {
    guard let family = configuration.family.definition as? any DecoderFamily else {
      throw RetortError(.input, "a \(configuration.family.rawValue) model is no decoder", at: configuration.source)
    }
    try self.init(configuration, family.traits)
  }
}
