/// What the rows of a token file have as targets: their words in the payload, and the meaning of their `label`.
enum RowTargets: Equatable, Sendable {
  /// A class: `label`, negative for none. No words.
  case label
  /// The next token, which the ids themselves tell: `label` is the number of tokens of the prompt in front, which
  /// nothing predicts. No words.
  case nextTokens
  /// A target for each token, as in `Batch.targets`: as many words as tokens. `label` is the number R of rows that
  /// count, or −1 − R if they have no classes.
  case tokens
  /// K numbers, as in `Batch.values`: their bits. `label` is 0, or −1 for none.
  case values(Int)
  /// One text, or two one after the other, in one or more windows each: two words, the number of tokens of the first
  /// and the bits of the pair's score, as in `Batch.values`. `label` is the number of sequences, or −1 − it without a
  /// score.
  case sequences

  /// The words of a row of `length` tokens.
  func words(length: Int) -> Int {
    switch self {
    case .label, .nextTokens: 0
    case .tokens: length
    case .values(let count): count
    case .sequences: 2
    }
  }

  /// The number in a header: 0, −1, −2, −3, or K.
  var code: Int {
    switch self {
    case .label: 0
    case .tokens: -1
    case .values(let count): count
    case .sequences: -2
    case .nextTokens: -3
    }
  }

  init(code: Int) {
    switch code {
    case 0: self = .label
    case -1: self = .tokens
    case -3: self = .nextTokens
    case ..<0: self = .sequences
    default: self = .values(code)
    }
  }

  /// `label` of a row with these targets of its tokens.
  static func label(of targets: [Int32]) -> Int32 {
    let counted = Int32(targets.count { $0 != Batch.uncounted })
    return targets.contains { $0 >= 0 } ? counted : -1 - counted
  }

  /// The number of rows of the loss of an example.
  func lossRows(label: Int32) -> Int {
    self == .tokens || self == .sequences ? Int(label < 0 ? -1 - label : label) : 1
  }

  /// The number of those with a class.
  func labelledRows(label: Int32) -> Int { label < 0 ? 0 : lossRows(label: label) }

  init(_ task: TaskDefinition, labels: Int?) {
    switch (task.rows, task.targets) {
    case (.tokens, _): self = .tokens
    case (.nextTokens, _): self = .nextTokens
    case (.sequences, _): self = .sequences
    case (_, .score): self = .values(1)
    case (_, .labelSet): self = .values(max(1, labels ?? 1))
    default: self = .label
    }
  }
}
