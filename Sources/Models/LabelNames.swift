import Platform

/// The class names of a classifier, in the order of its logits.
public struct LabelNames: Equatable, Sendable {
  /// A name for each class.
  public let names: [String]

  /// The classes by their names, in the order of the logits.
  public init(_ names: [String]) { self.names = names }

  /// `LABEL_0`, `LABEL_1`, … as Hugging Face calls classes that nobody named.
  public static func generic(_ count: Int) -> LabelNames { LabelNames((0..<count).map { "LABEL_\($0)" }) }

  /// Whether nobody named the classes: they are `LABEL_0`, `LABEL_1`, …
  public var isGeneric: Bool { self == .generic(names.count) }

  /// Reads `id2label`, else `num_labels`; nil when the configuration says neither.
  init?(configuration: JSON) {
    if let table = configuration["id2label"]?.object, !table.isEmpty {
      let count = table.count
      let names = (0..<count).compactMap { table[String($0)]?.string }
      guard names.count == count else { return nil }
      self.init(names)
    } else if let count = configuration["num_labels"]?.int, count > 0 {
      self = .generic(count)
    } else {
      return nil
    }
  }

  /// Writes `id2label` and `label2id` into a configuration.
  func write(to configuration: inout [String: JSON]) {
    configuration["id2label"] = .object(
      Dictionary(names.enumerated().map { (String($0.offset), .string($0.element)) }) { first, _ in first })
    configuration["label2id"] = .object(
      Dictionary(names.enumerated().map { ($0.element, .int($0.offset)) }) { first, _ in first })
    configuration["num_labels"] = nil
  }
}
