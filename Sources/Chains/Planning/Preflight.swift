import Datasets
import Models
import Platform
import Tensors
import Training

/// The checks and the advice before a chain runs.
enum Preflight {
  /// The ratio of teacher to student parameters above which a warning is given: larger ratios distil badly
  /// (Mirzadeh et al., 2020, on teacher assistants).
  static let largestRatio = 10.0

  /// Warnings about one step, with figure and remedy; throws `.preflight` or `.input` for a step that cannot work.
  static func check(
    _ step: ResolvedStep, _ chain: ChainConfiguration, labels: LabelNames, kind: TaskKind, readsIDs: Bool,
    native: Precision
  ) throws -> [String] {
    let source = step.configuration.source
    var warnings: [String] = []
    if step.hyperparameters.precision == .bf16, native == .fp32 {
      warnings.append(
        "\(source.location(of: "hyperparams.precision")): the CPUs of some ranks do not multiply bf16 natively and are "
          + "slower with it than with fp32; use auto or fp32")
    }
    warnings += step.teachers.flatMap(\.model.remarks) + step.student.remarks
    warnings += try checkObjectives(of: step, kind: kind)
    for (configuration, reference, key) in models(of: step) {
      let location = source.location(of: key)
      if configuration.kind != kind {
        throw RetortError(
          .input, "\(reference) is a \(configuration.family.rawValue) model, but the task has \(kind.rawValue) data",
          at: location, remedy: remedy(for: kind.definition))
      }
      if !kind.definition.hasLabels { continue }
      let own = configuration.labels ?? .generic(2)
      if let warning = try LabelResolution.check(own, of: reference, against: labels, at: location) {
        warnings.append("\(location): \(warning)")
      }
    }
    if kind.definition.head == .languageModel {
      try checkVocabularies(step)
    } else {
      warnings += try tokenizerAdvice(step, readsIDs: readsIDs)
    }
    warnings += try lengthAdvice(step, chain)
    if step.student.origin == .random {
      warnings.append(
        "step \(step.id): the student starts from random weights (\(grouped(step.student.parameterCount)) parameters); "
          + "start from a pretrained base, or from the teacher's layers with student_init, for better results from "
          + "less data")
    }
    if let teacher = step.teacher {
      let parameters = try ModelLoader.build(teacher.configuration).parameterCount
      let ratio = Double(parameters) / Double(step.student.parameterCount)
      if ratio > largestRatio {
        warnings.append(
          "step \(step.id): the teacher \(teacher.reference) has \(fixed(ratio, 1)) times the student's parameters "
            + "(more than \(fixed(largestRatio, 0))); put an intermediate model between them")
      }
    }
    return warnings
  }

  private static func remedy(for task: TaskDefinition) -> String {
    switch task.head {
    case .perceptron: "use a perceptron"
    case .sequence: "use a classifier that reads tokens, such as a bert model"
    case .token, .pooler: "use an encoder, such as a bert model"
    case .languageModel: "use a language model, such as a llama model"
    }
  }

  /// Throws if a teacher's tokenizer makes other rows of an example than the student's: cut at another word, or other
  /// windows.
  static func requireSameRows(_ teacher: SplitData, _ reference: String, _ student: SplitData, _ step: ResolvedStep)
    throws
  {
    for (ours, theirs) in [(student.train, teacher.train), (student.validation, teacher.validation)] {
      let rows = ours.kind.definition.rows
      guard rows == .tokens || rows == .sequences, ours.digest != theirs.digest,
        let row = (0..<ours.count).first(where: { ours.lossRows($0) != theirs.lossRows($0) })
      else { continue }
      throw RetortError(
        .preflight,
        "example \(row + 1) has \(ours.lossRows(row)) \(rows == .tokens ? "words" : "windows") for the student and "
          + "\(theirs.lossRows(row)) for the teacher \(reference), whose tokenizer cuts it elsewhere",
        at: step.configuration.source.location(of: "teacher"),
        remedy: "raise metadata.max_length, shorten the example, or "
          + (rows == .tokens ? "use subwords: first, with task.stride" : "leave task.stride out"))
    }
  }

  /// Throws for a metric that the names of the outputs do not define.
  static func checkMetric(of step: ResolvedStep, _ kind: TaskKind, _ labels: LabelNames) throws {
    let defined = kind.definition.metrics(of: labels.names)
    guard
      let metric = step.configuration.stages.compactMap(\.hyperparameters.metric).first(where: { !defined.contains($0) }
      )
    else { return }
    throw RetortError(
      .configuration,
      "is \(metric.rawValue), and the tags are no parts of entities: \(labels.names.prefix(8).joined(separator: ", "))",
      at: step.configuration.source.location(of: "hyperparams.metric"),
      remedy: "use \(defined.map(\.rawValue).joined(separator: ", "))")
  }

  /// Checks the training data against the step: the columns that its models read, the tokens of a batch.
  static func check(_ step: ResolvedStep, _ data: SplitData) throws {
    for (index, stage) in step.configuration.stages.enumerated() {
      guard case .tokens(let limit) = stage.hyperparameters.batchSize else { continue }
      try check(data.train, limit, at: step.configuration.location(of: "batch_tokens", stage: index))
    }
    guard let columns = data.columns else { return }
    for (configuration, reference, key) in models(of: step) {
      let inputs = try PerceptronConfiguration(configuration).inputSize
      if inputs != columns.names.count {
        throw RetortError(
          .input,
          "\(reference) reads \(inputs) columns, but the data has \(columns.names.count): "
            + columns.names.prefix(12).joined(separator: ", "), at: step.configuration.source.location(of: key),
          remedy: "set input_size, or name the columns under task: {features: […]}")
      }
    }
  }

  /// Checks that a batch can hold the longest example, and that the data has tokens to count.
  private static func check(_ train: any ExampleSource, _ batchTokens: Int, at location: String) throws {
    if !train.kind.definition.readsTokens {
      throw RetortError(
        .configuration, "rows of numbers have no tokens", at: location, remedy: "give batch_size, their number")
    }
    let longest = Int(train.lengths.max() ?? 0)
    if longest > batchTokens {
      throw RetortError(
        .configuration, "is \(batchTokens), but the longest training example has \(longest) tokens", at: location,
        remedy: "raise it to \(longest) or more, or cut examples with metadata.max_length")
    }
  }

  private static func models(of step: ResolvedStep) -> [(ModelConfiguration, String, String)] {
    let student = (step.student.configuration, step.student.reference, "student_base")
    return step.teachers.map { ($0.model.configuration, $0.model.reference, "teacher") } + [student]
  }

  /// Each model tokenises text itself; data of token ids needs the same tokenizer for both.
  private static func tokenizerAdvice(_ step: ResolvedStep, readsIDs: Bool) throws -> [String] {
    try step.teachers.flatMap { try tokenizerAdvice(step, $0.model, readsIDs: readsIDs) }
  }

  private static func tokenizerAdvice(_ step: ResolvedStep, _ teacher: ResolvedModel, readsIDs: Bool) throws
    -> [String]
  {
    guard let theirs = teacher.tokenizer?.tokenizer,
      let ours = step.student.tokenizer?.tokenizer, theirs.digest != ours.digest
    else { return [] }
    let sizes = "\(theirs.vocabularySize) and \(ours.vocabularySize) tokens"
    if readsIDs {
      throw RetortError(
        .preflight,
        "teacher and student have different tokenizers (\(sizes)), but the data has token ids, which can belong to "
          + "only one of them", at: step.configuration.source.location(of: "teacher"),
        remedy: "use data with text, or a teacher and a student with the same tokenizer")
    }
    return ["step \(step.id): teacher and student have different tokenizers (\(sizes)); each uses its own on the text"]
  }

  private static func lengthAdvice(_ step: ResolvedStep, _ chain: ChainConfiguration) throws -> [String] {
    guard let wanted = chain.metadata.maxLength, let limit = step.maxLength, limit < wanted else { return [] }
    return [
      "step \(step.id): max_length \(wanted) is reduced to \(limit), the positions of the step's models; set "
        + "metadata.max_length to \(limit) to silence this"
    ]
  }

  /// Whether a teacher is better than chance: a classifier by `isAboveChance`, a language model if its perplexity is
  /// below 0.9 times that of guessing, the size of the vocabulary, a scorer if its scores rise with the targets, a
  /// classifier of several labels if any of its labels is right.
  static func hasLearnt(_ result: EvaluationResult, classCount: Int) -> Bool {
    switch result.kind.definition.targets {
    case .nextTokens: result.perplexity < 0.9 * Double(classCount)
    case .classes: isAboveChance(result)
    // Spearman's ρ of independent scores has the deviation 1/√(n − 1) (one-sided, 5 %).
    case .score, .similarity:
      // Equal scores have no ρ.
      result.count < 3 || result.value(.spearman) > 1.64 / Double(result.count - 1).squareRoot()
    case .labelSet: result.parts.allSatisfy { $0.counts.gold == 0 } || result.value(.microF1) > 0
    }
  }

  /// How a teacher at chance level answers.
  static func chanceText(_ result: EvaluationResult, classCount: Int) -> String {
    switch result.kind.definition.targets {
    case .nextTokens: "perplexity \(fixed(result.perplexity, 1)) with a vocabulary of \(grouped(classCount))"
    case .classes:
      "balanced accuracy \(fixed(result.balancedAccuracy, 4)) over \(classCount) classes, "
        + "\(result.correct) of \(result.count) correct"
    case .score, .similarity, .labelSet: result.text
    }
  }

  /// Whether a teacher distinguishes the classes: its balanced accuracy exceeds chance by more than 1.64 standard
  /// errors of guessing (one-sided, 5 %).
  ///
  /// Balanced accuracy is used because always predicting the most frequent class is chance, whatever its accuracy.
  static func isAboveChance(_ result: EvaluationResult) -> Bool {
    let present = (0..<result.classCount).map(result.support).filter { $0 > 0 }
    // With one class in the data there is nothing to distinguish.
    guard present.count > 1 else { return true }
    let chance = 1 / Double(result.classCount)
    let variance = present.reduce(0.0) { $0 + chance * (1 - chance) / Double($1) }
    let error = variance.squareRoot() / Double(present.count)
    return result.balancedAccuracy > chance + 1.64 * error
  }
}
