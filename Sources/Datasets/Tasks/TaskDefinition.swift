/// What a kind of task means, for everything that reads, trains, measures or answers: one file a kind.
///
/// Other code asks for one of these properties and never for the kind itself, so that a new kind is a new definition:
///
///     data       rows · targets        what a batch carries, and for which of its rows
///     model      head                  what stands on the body, and how a checkpoint calls it
///     loss       output · objectives   how outputs and targets are compared
///     results    metrics               what is measured, and which student is the best
package struct TaskDefinition: Sendable {
  /// The rows of a batch that have a loss, each with an output of the model.
  package enum Rows: Sendable {
    /// One for each example.
    case examples
    /// One for each sequence; an example has one, or two that are read apart.
    case sequences
    /// One for each token that counts, such as the first of each word.
    case tokens
    /// One for each token that is followed by another, which it predicts.
    case nextTokens
  }

  /// What a row is compared with, and where a batch keeps it.
  package enum Targets: Sendable {
    /// A class: `Batch.labels`, or of a token `Batch.targets`.
    case classes
    /// The token that follows: `Batch.targets`.
    case nextTokens
    /// A number: `Batch.values`.
    case score
    /// For each label whether it holds: `Batch.values`.
    case labelSet
    /// How alike the two sequences of a pair are, a number for metrics only: `Batch.values` of its first sequence.
    case similarity
  }

  /// What the outputs of a row mean.
  package enum Output: Sendable {
    /// Logits of classes that exclude each other: their softmax is a distribution.
    case classes
    /// Logits of labels that hold or do not hold, each by itself: a sigmoid for each.
    case labels
    /// A number.
    case score
    /// A vector, which means something only beside other vectors.
    case vector
  }

  /// The part of a model that makes outputs of states.
  package enum Head: Sendable {
    /// Of a sequence: `…ForSequenceClassification`.
    case sequence
    /// Of each token: `…ForTokenClassification`.
    case token
    /// Of a sequence, without weights: the mean of its states or its first state, `…Model`.
    case pooler
    /// Of each token over the vocabulary: `…ForCausalLM`.
    case languageModel
    /// The last layer of a perceptron.
    case perceptron
  }

  /// The task in messages: "Retort's token classification needs …".
  package let noun: String
  package let rows: Rows
  package let targets: Targets
  package let output: Output
  package let head: Head
  /// `problem_type` of config.json; nil for a head without this key.
  package let problemType: String?
  /// The objective that compares with the targets, if a model learns from them, and the one that compares with a
  /// teacher.
  package let objectives: (targets: String?, teacher: String)
  /// The metrics that are defined, the one that chooses the best student first.
  package let metrics: [Metric]
  /// The usual names of the column with the targets.
  package let usualLabels: [String]
  /// The keys of `task` in a chain file that mean something besides `name` and `kind`.
  package let keys: Set<String>

  /// The metrics that outputs with these names define: tags that form no entities have none of entities.
  package func metrics(of names: [String]) -> [Metric] {
    rows == .tokens && TagScheme(names) == .plain
      ? metrics.filter { ![.entityF1, .entityPrecision, .entityRecall].contains($0) } : metrics
  }

  /// What rows of the loss are called in messages.
  package var unit: String {
    switch rows {
    case .examples: "examples"
    case .sequences: "pairs"
    case .tokens: "words"
    case .nextTokens: "tokens"
    }
  }

  /// One row of the loss in messages: "bytes an example".
  package var oneRow: String {
    switch rows {
    case .examples: "an example"
    case .sequences: "a text"
    case .tokens: "a word"
    case .nextTokens: "a predicted token"
    }
  }

  /// Whether the outputs have names, which `labels` of a chain file and `id2label` of a model list.
  package var hasLabels: Bool { targets == .classes || targets == .labelSet }
  /// Whether an example is text or token ids with a target of its own, and not a document or a row of numbers.
  package var readsTexts: Bool { head == .sequence || head == .token || head == .pooler }
  /// Whether examples are tokens, and not rows of numbers.
  package var readsTokens: Bool { head != .perceptron }
  /// The number of outputs if the kind alone says it.
  package var outputCount: Int? { targets == .score ? 1 : nil }
  /// Whether rows without a target are as usual as rows with one.
  package var targetsAreOptional: Bool { targets == .similarity }
  /// Whether a text longer than the maximum length can be read in windows, whose outputs are merged.
  package var readsWindows: Bool { keys.contains("stride") }
  /// Whether a teacher's outputs are few enough to be kept for later epochs.
  package var keepsSignals: Bool { rows != .nextTokens }
}
