import Autograd
import Foundation
import Models
import Objectives
import Tensors

/// The form of a teacher's signals on their way to the rank that requested them.
package enum SignalPayload: Sendable, Equatable {
  /// The logits, C floats per row.
  case logits
  /// The head's input, one state per row; the requesting rank applies the head. It gives the same logits with far fewer
  /// bytes if there are many classes.
  case hidden
  /// The k largest logits, their classes, and the weight of all other classes at this temperature; among the classes
  /// 0 ..< n alone if `among` is n.
  case topK(Int, temperature: Float, among: Int? = nil)

  /// Its name in a chain file.
  package var name: String {
    switch self {
    case .logits: "logits"
    case .hidden: "hidden"
    case .topK(let count, _, _): "top_k \(count)"
    }
  }
}

extension SignalPayload {
  /// The bytes of a row in a message from a rank with all classes.
  package func rowBytes(of model: any StagedModel, precision: Precision) -> Int {
    4 * SignalForm(self, hidden: model.hiddenSize, precision: precision).width(classes: 0..<model.classCount)
  }
}

/// The layout of signals in messages: float32 words, a fixed number per row.
///
///     logits   | z_0 … z_(C−1) |
///     hidden   | state, float32, or two bf16 in a word |
///     top_k    | k logits, largest first | their classes as integers | log of the rest |
struct SignalForm {
  let payload: SignalPayload
  /// The elements of a state.
  let hidden: Int
  /// Whether states are sent as bf16.
  let isRounded: Bool

  init(_ payload: SignalPayload, hidden: Int, precision: Precision) {
    self.payload = payload
    self.hidden = hidden
    isRounded = precision == .bf16 && hidden % 2 == 0
  }

  /// The classes of a part among which a top-k chooses.
  private func offered(_ classes: Range<Int>) -> Range<Int> {
    guard case .topK(_, _, let limit?) = payload else { return classes }
    return classes.clamped(to: 0..<limit)
  }

  /// The k for a part of the classes, at most their number.
  private func kept(of classes: Range<Int>, _ count: Int) -> Int { min(count, offered(classes).count) }

  /// The words of a row from a rank with these of the head's classes.
  func width(classes: Range<Int>) -> Int {
    switch payload {
    case .logits: classes.count
    case .hidden: isRounded ? hidden / 2 : hidden
    case .topK(let count, _, _): 2 * kept(of: classes, count) + 1
    }
  }

  /// Encodes the signals of some rows as a message.
  ///
  /// - Parameters:
  ///   - states: [R, hidden], the head's input.
  ///   - classes: the classes that `logits` computes.
  ///   - logits: computes the logits of states, float32.
  /// - Returns: [R, width] words, in new memory or in that of the logits.
  func encode(_ states: Tensor, classes: Range<Int>, logits: (Tensor) -> Tensor) -> Tensor {
    switch payload {
    case .logits: return logits(states)
    case .hidden: return words(of: states.converted(to: isRounded ? .bfloat16 : .float32))
    case .topK(let count, let temperature, _):
      let (kept, offered) = (kept(of: classes, count), offered(classes).count)
      let message = Tensor(uninitialized: [states.rows, width(classes: classes)])
      if kept == 0 {
        message.fill(-.infinity)
        return message
      }
      // A chunk of rows at a time, so that the logits of a large vocabulary are never all in memory.
      let step = max(1, (1 << 22) / max(1, classes.count))
      for start in stride(from: 0, to: states.rows, by: step) {
        let rows = start..<min(start + step, states.rows)
        let scores = logits(states.rows(rows))
        if offered < classes.count {
          for row in 0..<rows.count {
            let padding = scores.floats + row * classes.count + offered
            padding.update(repeating: -.infinity, count: classes.count - offered)
          }
        }
        let best = TopKTargets(of: scores, k: kept, temperature: temperature)
        for row in rows {
          best.write(row: row - start, firstClass: classes.lowerBound, to: message.rows(row..<row + 1))
        }
      }
      return message
    }
  }

  /// Decodes the messages of all ranks that have a part of the classes, in the order of the classes.
  ///
  /// - Parameter head: the teacher's head, for hidden states.
  func decode(_ parts: [(classes: Range<Int>, message: Tensor)], head: TeacherHead?) -> TeacherLogits {
    switch payload {
    case .logits: return .logits(joined(parts))
    case .hidden:
      guard let head else { preconditionFailure("hidden states were received without a head") }
      return head.targets(states(in: parts[0].message))
    case .topK(let count, let temperature, _):
      let rows = parts[0].message.rows
      let kept = min(count, parts.reduce(0) { $0 + offered($1.classes).count })
      let logits = Tensor(uninitialized: [rows, kept])
      var (classes, rest): ([Int32], [Float]) = ([], [])
      for row in 0..<rows {
        var best = LargestLogits(kept)
        for part in parts {
          best.merge(part.message.rows(row..<row + 1).buffer, self.kept(of: part.classes, count), temperature)
        }
        for (place, entry) in best.entries.enumerated() {
          logits.floats[row * kept + place] = entry.logit
          classes.append(entry.index)
        }
        rest.append(best.logRest)
      }
      return .topK(TopKTargets(logits: logits, classes: classes, logRest: rest, temperature: temperature))
    }
  }

  private func joined(_ parts: [(classes: Range<Int>, message: Tensor)]) -> Tensor {
    if parts.count == 1 { return parts[0].message }
    let rows = parts[0].message.rows
    let total = parts.reduce(0) { $0 + $1.classes.count }
    let logits = Tensor(uninitialized: [rows, total])
    for (classes, message) in parts {
      for row in 0..<rows {
        (logits.floats + row * total + classes.lowerBound).update(
          from: message.floats + row * classes.count, count: classes.count)
      }
    }
    return logits
  }

  private func words(of states: Tensor) -> Tensor {
    let width = states.columns * states.dtype.size / 4
    return Tensor(storage: states.storage, byteOffset: states.byteOffset, shape: [states.rows, width])
  }

  private func states(in message: Tensor) -> Tensor {
    Tensor(
      storage: message.storage, byteOffset: message.byteOffset, shape: [message.rows, hidden],
      dtype: isRounded ? .bfloat16 : .float32)
  }
}

/// The forms of the two splits: with top-k training signals, validation uses all logits.
struct SignalForms {
  private let train: SignalForm
  private let validation: SignalForm

  init(_ payload: SignalPayload, hidden: Int, precision: Precision) {
    train = SignalForm(payload, hidden: hidden, precision: precision)
    if case .topK = payload {
      validation = SignalForm(.logits, hidden: hidden, precision: precision)
    } else {
      validation = train
    }
  }

  subscript(split: Split) -> SignalForm { split == .train ? train : validation }
}

extension TopKTargets {
  /// Writes k logits, k classes (offset by `firstClass`), and the log of the rest.
  fileprivate func write(row: Int, firstClass: Int, to words: Tensor) {
    let k = logits.columns
    for place in 0..<k {
      words.floats[place] = logits.floats[row * k + place]
      words.floats[k + place] = Float(bitPattern: UInt32(bitPattern: classes[row * k + place] + Int32(firstClass)))
    }
    words.floats[2 * k] = logRest[row]
  }
}

/// The k largest logits of several parts of the classes, and log Σ exp(z / T) of all others.
private struct LargestLogits {
  private(set) var entries: [(logit: Float, index: Int32)] = []
  private let limit: Int
  /// Σ exp((z − maximum) / T) over all other classes, and that maximum over T.
  private var restSum = 0.0
  private var restMaximum = -Float.infinity

  init(_ limit: Int) {
    self.limit = limit
    entries.reserveCapacity(limit + 1)
  }

  /// log Σ exp(z / T) of all other classes; −∞ if there are none.
  var logRest: Float { restSum > 0 ? Float(Double(restMaximum) + log(restSum)) : -.infinity }

  /// Merges the selection of a rank, whose classes come after all earlier ones.
  mutating func merge(_ message: UnsafeMutableBufferPointer<Float>, _ count: Int, _ temperature: Float) {
    for place in 0..<count {
      let index = Int32(bitPattern: message[count + place].bitPattern)
      if let displaced = offer(message[place], index) { addToRest(displaced / temperature) }
    }
    addToRest(message[2 * count])
  }

  /// Inserts a logit if it is among the largest; returns the logit that is not (any more) among them.
  @discardableResult
  private mutating func offer(_ logit: Float, _ index: Int32) -> Float? {
    if entries.count == limit, let last = entries.last, logit <= last.logit { return logit }
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].logit >= logit { low = middle + 1 } else { high = middle }
    }
    entries.insert((logit, index), at: low)
    return entries.count > limit ? entries.removeLast().logit : nil
  }

  private mutating func addToRest(_ exponent: Float) {
    if exponent == -.infinity { return }
    if exponent > restMaximum {
      restSum = restSum * exp(Double(restMaximum) - Double(exponent)) + 1
      restMaximum = exponent
    } else {
      restSum += exp(Double(exponent) - Double(restMaximum))
    }
  }
}
