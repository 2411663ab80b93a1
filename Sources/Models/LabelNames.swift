import Platform

/// The class names of a classifier, in the order of its logits.
package struct LabelNames: Equatable, Sendable {
  /// The name of each class.
  package let names: [String]

  /// The names of the classes, in the order of the logits.
  package init(_ names: [String]) { self.names = names }

  /// `LABEL_0`, `LABEL_1`, …: the names that Hugging Face gives to unnamed classes.
  package static func generic(_ count: Int) -> LabelNames { LabelNames((0..<count).map { "LABEL_\($0)" }) }

  /// Whether the classes are unnamed: `LABEL_0`, `LABEL_1`, …
  package var isGeneric: Bool { self == .generic(names.count) }

  /// The first name that an earlier class has too, ignoring case; nil if all differ.
  var repeated: String? {
    var known: Set<String> = []
    return names.first { !known.insert($0.lowercased()).inserted }
  }

  /// Why `id2label` is no table from the classes 0, 1, … to names, as a sentence without a full stop; nil if it is one,
  /// or if there is none.
  static func fault(inTable id2label: JSON?) -> String? {
    guard let id2label, !id2label.isNull else { return nil }
    guard let table = id2label.object else { return "id2label is no object with a name for each class number" }
    let wanted = Set((0..<table.count).map(String.init))
    guard let stray = table.keys.filter({ !wanted.contains($0) }).min() else { return nil }
    let missing = (0..<table.count).first { table[String($0)] == nil } ?? 0
    return "id2label has the key \(quoted(stray)) and none for class \(missing)"
  }

  /// The largest number of classes, since each has a name in memory.
  static let most = 1 << 20

  /// Reads `id2label`, else `num_labels`; nil if the configuration has neither, or if its class numbers have gaps.
  init?(configuration: JSON) {
    if let table = configuration["id2label"]?.object, !table.isEmpty {
      guard (0..<table.count).allSatisfy({ table[String($0)] != nil }) else { return nil }
      self.init(configuration: configuration, count: table.count)
    } else if let count = configuration["num_labels"]?.int, (1...LabelNames.most).contains(count) {
      self = .generic(count)
    } else {
      return nil
    }
  }

  /// The names of this many classes in `id2label`, or `LABEL_i` if it has none for class i.
  init(configuration: JSON, count: Int) {
    let table = configuration["id2label"]?.object ?? [:]
    self.init(
      (0..<count).map { index in
        guard let name = table[String(index)], !name.isNull else { return "LABEL_\(index)" }
        return name.string ?? name.text()
      })
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
