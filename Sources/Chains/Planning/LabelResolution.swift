import Collectives
import Datasets
import Models
import Platform

/// Finds out which classes a chain is about, and holds every model to them.
enum LabelResolution {
  /// The classes: the chain file's, else those of the named task, else those of the first model on disk that has a
  /// classifier, else those that occur in the training data. Collective.
  static func classes(
    _ task: TaskDescription, _ chain: ChainConfiguration, _ locator: ModelLocator, _ files: LocatedDataset,
    on communicator: any Communicator
  ) throws -> (names: LabelNames, set: LabelSet) {
    if let names = task.labelNames { return (LabelNames(names), LabelSet(names: names)) }
    let own = try communicator.agree { try modelLabels(chain, locator) }
    if let own, own.isTeacher {
      // Names that the data does not use would turn its integers into refusals of nothing: a set accepts both.
      return (
        own.names, own.names.isGeneric ? LabelSet(count: own.names.names.count) : LabelSet(names: own.names.names)
      )
    }
    let scan = try scan(task, files, communicator)
    let set = try communicator.agree { try scan.labelSet() }
    // A base with other classes than the data gets a new head; one with these keeps its names for them.
    if let own = own?.names, fits(set, own) {
      return (own, own.isGeneric ? LabelSet(count: own.names.count) : LabelSet(names: own.names))
    }
    return (set.names.map(LabelNames.init) ?? .generic(max(2, set.count)), set.count < 2 ? LabelSet(count: 2) : set)
  }

  /// Whether the data's labels are classes of a model: names of it, or as many numbers as it has classes.
  private static func fits(_ data: LabelSet, _ model: LabelNames) -> Bool {
    guard let names = data.names else { return data.count == model.names.count }
    let known = Set(model.names.map { $0.lowercased() })
    return names.allSatisfy { known.contains($0.lowercased()) }
  }

  private static func scan(_ task: TaskDescription, _ files: LocatedDataset, _ communicator: any Communicator) throws
    -> LabelScan
  {
    let (file, column) = try communicator.agree {
      let file = try task.open(files.train)
      try file.requireRows()
      guard let column = try task.columns(in: file).label else {
        throw RetortError(
          .input, "there is no column \"label\"; found: \(file.columns.joined(separator: ", "))", at: files.train,
          remedy: "name the column under task: {label: …}")
      }
      return (file, column)
    }
    return try LabelScan(file, column: column, on: communicator)
  }

  /// The classes of the first teacher, or else student base, on disk that has a classifier of its own and keeps it.
  private static func modelLabels(_ chain: ChainConfiguration, _ locator: ModelLocator) throws
    -> (names: LabelNames, isTeacher: Bool)?
  {
    for (index, step) in chain.steps.enumerated() {
      for reference in step.teacher.references {
        let located = try locator.locate(reference, for: index, in: chain, key: "teacher")
        if case .step = located.source { continue }
        if let names = try ownLabels(located.path, for: .answers) { return (names, true) }
      }
    }
    for (index, step) in chain.steps.enumerated() {
      guard case .reference(let reference) = step.studentBase else { continue }
      let located = try locator.locate(reference, for: index, in: chain, key: "student_base")
      if case .step = located.source { continue }
      let head = step.studentInit?.head ?? .fitting
      if let names = try ownLabels(located.path, for: .student(head: head)) { return (names, false) }
    }
    return nil
  }

  private static func ownLabels(_ path: String, for use: ModelUse) throws -> LabelNames? {
    let opened = try ModelDirectory(path, for: use)
    return opened.newHead == nil ? opened.configuration.labels : nil
  }

  /// Refuses a model whose classes differ from the data's in number or order; names that merely differ are a warning.
  static func check(_ model: LabelNames, of reference: String, against data: LabelNames, at location: String) throws
    -> String?
  {
    if model.names.count != data.names.count {
      throw RetortError(
        .preflight,
        "\(reference) has \(model.names.count) classes, the data has \(data.names.count) "
          + "(\(data.names.joined(separator: ", ")))", at: location,
        remedy: "use a model for these classes, or name the classes under task: {labels: […]}")
    }
    if model.isGeneric || data.isGeneric { return nil }
    let (ours, theirs) = (data.names.map { $0.lowercased() }, model.names.map { $0.lowercased() })
    if ours == theirs { return nil }
    if Set(ours) == Set(theirs) {
      throw RetortError(
        .preflight,
        "\(reference) has its classes in the order \(model.names.joined(separator: ", ")), the data in "
          + "the order \(data.names.joined(separator: ", "))", at: location,
        remedy: "name the data's classes in the model's order: "
          + "task: {labels: [\(model.names.joined(separator: ", "))]}")
    }
    return "\(reference) calls its classes \(model.names.joined(separator: ", ")), the data "
      + "\(data.names.joined(separator: ", ")): check that they mean the same in this order"
  }
}
