import Autograd
import Datasets
import Layers
import Tensors

/// The part of a model that makes outputs of the states of its rows: sequences, or tokens that count.
///
///     outputs = W dropout(norm(f(D x + d))) + b        x itself in place of norm(f(D x + d)) without D
struct ClassifierHead {
  /// The rows whose states are read.
  let rows: TaskDefinition.Rows
  /// D and d; nil for a head with one layer. BERT calls it the pooler.
  let dense: Linear?
  let activation: Activation
  /// The norm of f's values; nil for none.
  let norm: LayerNorm?
  /// The dropout of x before D, and of what W reads.
  let stateDropout: Float, dropout: Float
  /// Whether f's value is the model's pooled output.
  let isPooler: Bool
  /// W and b.
  let classifier: Linear

  var parameters: [Parameter] {
    (dense?.parameters ?? []) + (norm?.parameters ?? []) + classifier.parameters
  }

  /// What W reads, [R, hidden], from the states x of the rows.
  func states(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    guard let dense else { return x }
    let read =
      stateDropout > 0
      ? context.dropout(x, probability: stateDropout, offsets: HeadTokens(of: batch, rows).offsets) : x
    var values = context.tape.activation(activation, dense(read, context))
    if let norm { values = norm(values, context) }
    if isPooler { context.observe(.pooled, values) }
    return values
  }

  /// The outputs, [R, classes], with the dropout of a training pass.
  func outputs(_ states: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    let read = HeadTokens(of: batch, rows)
    return classifier.wide(context.dropout(states, probability: dropout, offsets: read.offsets), context)
  }
}

/// The tokens of a batch whose states a head reads.
struct HeadTokens {
  /// Their row numbers among all tokens, ascending, [R].
  let rows: [Int32]
  /// The first of those of each sequence, then R, [B+1].
  let offsets: [Int32]

  /// The first token of each sequence, or the tokens that count.
  init(of batch: Batch, _ kind: TaskDefinition.Rows) {
    if kind == .examples {
      rows = Array(batch.offsets.dropLast())
      offsets = (0...Int32(batch.count)).map { $0 }
    } else {
      rows = batch.countedTokens
      var offsets: [Int32] = []
      var row: Int32 = 0
      for end in batch.offsets {
        while row < rows.count, rows[Int(row)] < end { row += 1 }
        offsets.append(row)
      }
      self.offsets = offsets
    }
  }
}
