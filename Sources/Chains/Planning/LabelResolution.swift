import Collectives
import Datasets
import Models
import Platform

/// The classes of a chain and their counts in the data.
struct ResolvedClasses {
  let names: LabelNames
  /// The labels, with the reading that both splits determine.
  let set: LabelSet
  /// The rows of each class, and those without one, for the user to see.
  let notes: [String]
  /// Warnings about classes that training cannot learn.
  let warnings: [String]
}

/// Determines the names of a chain's outputs and checks every model against them.
enum LabelResolution {
  /// The outputs of a task: its classes or labels, or one number; nil for a vocabulary. Collective; throws as
  /// `classes` does.
  static func outputs(
    _ task: TaskDescription, _ chain: ChainConfiguration, _ locator: ModelLocator, _ files: LocatedDataset,
    on communicator: any Communicator
  ) throws -> ResolvedClasses? {
    switch task.definition.targets {
    case .classes, .labelSet: try classes(task, chain, locator, files, on: communicator)
    case .score: ResolvedClasses(names: .generic(1), set: LabelSet(count: 1), notes: [], warnings: [])
    case .nextTokens, .similarity: nil
    }
  }

  /// The classes: the chain file's, else those of the named task, else those of the first model on disk with a
  /// classifier, else those in the training data. Collective.
  ///
  /// Throws `.input` for a teacher with one output, for labels that are not all classes in one reading, and if no row
  /// of the training data has a label and nothing else names the classes.
  private static func classes(
    _ task: TaskDescription, _ chain: ChainConfiguration, _ locator: ModelLocator, _ files: LocatedDataset,
    on communicator: any Communicator
  ) throws -> ResolvedClasses {
    let own = try communicator.agree { task.labelNames == nil ? try modelLabels(chain, locator, task.kind) : nil }
    let train = try scan(task, files.train, communicator)
    let validation = try scan(task.ofValidation, files.validation, communicator)
    return try communicator.agree {
      var names: LabelNames?
      let given: LabelSet?
      if let chosen = task.labelNames {
        names = LabelNames(chosen)
        given = LabelSet(names: chosen)
      } else if let own, own.isTeacher {
        names = own.names
        given = labelSet(own.names)
      } else if let own,
        train.entries.isEmpty || labelSet(own.names).hasAll(of: [train, validation], told: task.labelReading)
      {
        // A base that lacks a class of the data gets a new head; otherwise it keeps its classes.
        names = own.names
        given = labelSet(own.names)
      } else {
        given = nil
      }
      var (set, notes) = try given.map { ($0, []) } ?? train.labelSet(validation: validation, told: task.labelReading)
      if given != nil {
        try set.requireDistinctNames()
        (set, notes) = try set.deciding(
          [train, validation], told: task.labelReading, usual: train.usualReading(of: task))
      } else {
        if task.definition.output == .classes {
          if let names = set.names, names.count == 1 { throw train.ofOneClass(names[0]) }
          if set.count < 2 { set = LabelSet(count: 2, reading: .index) }
        }
        try set.requireDistinctNames()
        try validation.check(against: set)
      }
      // If only the data has names, the student takes them.
      if names?.isGeneric ?? true, let found = set.names { names = LabelNames(found) }
      let rows = task.definition.rows == .tokens ? "words" : "rows"
      let output = task.definition.output == .labels ? "label" : "class"
      return ResolvedClasses(
        names: names ?? .generic(set.count), set: set,
        notes: notes + (given == nil ? [] : baseRemark(own, set, train))
          + [train, validation].filter { $0.labelled != .none }.map {
            "\(rows) of each \(output), \(set.counts(in: $0))"
          }
          + remarks(task, train: train, validation: validation),
        warnings: train.labelled == .none ? [] : set.warnings(train: train, validation: validation))
    }
  }

  /// A remark if the classes are those of a student's base and training rows have only some of them.
  private static func baseRemark(
    _ model: (names: LabelNames, reference: String, isTeacher: Bool)?, _ set: LabelSet, _ train: LabelScan
  ) -> [String] {
    guard let model, !model.isTeacher, train.labelled != .none else { return [] }
    let present = Set(train.entries.compactMap { set.index(of: $0.label) }).count
    if present == set.count { return [] }
    return [
      "the \(set.count) classes are those of \(model.reference), and training rows have \(present) of them; "
        + "student_init: {head: new} gives the student those of the data"
    ]
  }

  /// Remarks about rows without a label.
  private static func remarks(_ task: TaskDescription, train: LabelScan, validation: LabelScan) -> [String] {
    var remarks: [String] = []
    if train.labelled != .all {
      remarks.append(
        "\(train.unlabelledText): they take part in every term but \(task.definition.objectives.targets ?? "none")")
    }
    switch validation.labelled {
    case .all: break
    case .some: remarks.append("\(validation.unlabelledText): the figures cover only the others")
    case .none:
      remarks.append(
        "no row of the validation data (\(validation.path)) has a label: the student is the one after the last step")
    }
    return remarks
  }

  /// The classes of a model, by name if it has names.
  private static func labelSet(_ names: LabelNames) -> LabelSet {
    names.isGeneric ? LabelSet(count: names.names.count) : LabelSet(names: names.names)
  }

  private static func scan(_ task: TaskDescription, _ split: DatasetSplit, _ communicator: any Communicator) throws
    -> LabelScan
  {
    let file = try communicator.agree {
      let file = try task.open(split)
      try file.requireRows()
      return file
    }
    return try task.labels(in: file, on: communicator)
  }

  /// The classes of the first teacher, or else student base, on disk whose classifier is kept.
  private static func modelLabels(_ chain: ChainConfiguration, _ locator: ModelLocator, _ kind: TaskKind) throws
    -> (names: LabelNames, reference: String, isTeacher: Bool)?
  {
    for (index, step) in chain.steps.enumerated() {
      for reference in step.teacher.references {
        let located = try locator.locate(reference, for: index, in: chain, key: "teacher")
        if case .step = located.source { continue }
        if let names = try ownLabels(located.path, kind, for: .answers) {
          if names.names.count == 1, kind.definition.output == .classes {
            throw oneOutput(reference, at: step.source.location(of: "teacher"))
          }
          return (names, reference, true)
        }
      }
    }
    for (index, step) in chain.steps.enumerated() {
      guard case .reference(let reference) = step.studentBase else { continue }
      let located = try locator.locate(reference, for: index, in: chain, key: "student_base")
      if case .step = located.source { continue }
      let head = step.studentInit?.head ?? .fitting
      if let names = try ownLabels(located.path, kind, for: .student(head: head)) {
        return (names, reference, false)
      }
    }
    return nil
  }

  private static func ownLabels(_ path: String, _ kind: TaskKind, for use: ModelUse) throws -> LabelNames? {
    let opened = try ModelDirectory(path, for: use, task: kind)
    return opened.newHead == nil ? opened.configuration.labels : nil
  }

  private static func oneOutput(_ reference: String, at location: String) -> RetortError {
    RetortError(
      .input, "\(reference) has one output (num_labels 1): it predicts a number, but this task has classes",
      at: location,
      remedy: "use a teacher with one output per class")
  }

  /// Refuses a model whose classes differ from the data's in number or order; returns a warning if only names differ.
  static func check(_ model: LabelNames, of reference: String, against data: LabelNames, at location: String) throws
    -> String?
  {
    if model.names.count == 1, data.names.count > 1 { throw oneOutput(reference, at: location) }
    if model.names.count != data.names.count {
      throw RetortError(
        .preflight,
        "\(reference) has \(model.names.count) classes, but the data has \(data.names.count) "
          + "(\(data.names.joined(separator: ", ")))", at: location,
        remedy: "use a model for these classes, or name the classes under task: {labels: […]}")
    }
    if model.isGeneric || data.isGeneric { return nil }
    let (ours, theirs) = (data.names.map { $0.lowercased() }, model.names.map { $0.lowercased() })
    if ours == theirs { return nil }
    if Set(ours) == Set(theirs) {
      throw RetortError(
        .preflight,
        "\(reference) has its classes in the order \(model.names.joined(separator: ", ")), but the data in "
          + "the order \(data.names.joined(separator: ", "))", at: location,
        remedy: "name the data's classes in the model's order: "
          + "task: {labels: [\(model.names.joined(separator: ", "))]}")
    }
    return "\(reference) calls its classes \(model.names.joined(separator: ", ")), the data "
      + "\(data.names.joined(separator: ", ")): check that they mean the same in this order"
  }
}
