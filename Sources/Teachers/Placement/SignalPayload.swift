import Autograd
import Foundation
import Models
import Objectives
import Tensors

/// What of a teacher's answer moves to the rank that asked.
public enum SignalPayload: Sendable, Equatable {
  /// The logits, C floats a row.
  case logits
  /// What the head reads, one state a row: whoever asked applies the head. The same logits, for far fewer bytes where
  /// there are many classes.
  case hidden
  /// The k largest logits, their classes and what all others weigh at this temperature.
  case topK(Int, temperature: Float)

  /// How a chain file calls it.
  public var name: String {
    switch self {
    case .logits: "logits"
    case .hidden: "hidden"
    case .topK(let count, _): "top_k \(count)"
    }
  }
}

extension SignalPayload {
  /// Bytes that a row of an answer has on its way from one rank that has all classes.
  public func rowBytes(of model: any StagedModel, precision: Precision) -> Int {
    4 * SignalForm(self, hidden: model.hiddenSize, precision: precision).width(classes: model.classCount)
  }
}

/// How answers lie in messages: float32 words, a fixed number of them for each row.
///
///     logits   | z_0 … z_(C−1) |
///     hidden   | state, float32, or two bf16 in a word |
///     top_k    | k logits, largest first | their classes as integers | log of the rest |
struct SignalForm {
  let payload: SignalPayload
  /// Elements of a state.
  let hidden: Int
  /// Whether states travel as they are in a bf16 pass.
  let isRounded: Bool

  init(_ payload: SignalPayload, hidden: Int, precision: Precision) {
    self.payload = payload
    self.hidden = hidden
    isRounded = precision == .bf16 && hidden % 2 == 0
  }

  /// The k of a part of the classes: all of them where there are fewer.
  private func kept(of classes: Int, _ count: Int) -> Int { min(count, classes) }

  /// Words of a row from a rank that has this many classes of the head.
  func width(classes: Int) -> Int {
    switch payload {
    case .logits: classes
    case .hidden: isRounded ? hidden / 2 : hidden
    case .topK(let count, _): 2 * kept(of: classes, count) + 1
    }
  }

  /// The message of some rows.
  ///
  /// - Parameters:
  ///   - states: [R, hidden], what the head reads.
  ///   - classes: the part of all classes that `logits` makes.
  ///   - logits: of some of the states, float32.
  /// - Returns: [R, width] words, in memory of its own or that of the logits.
  func encode(_ states: Tensor, classes: Range<Int>, logits: (Tensor) -> Tensor) -> Tensor {
    switch payload {
    case .logits: return logits(states)
    case .hidden: return words(of: states.converted(to: isRounded ? .bfloat16 : .float32))
    case .topK(let count, let temperature):
      let kept = kept(of: classes.count, count)
      let message = Tensor(uninitialized: [states.rows, width(classes: classes.count)])
      // Some rows at a time: all logits of a large vocabulary are nowhere at once.
      let step = max(1, (1 << 22) / max(1, classes.count))
      for start in stride(from: 0, to: states.rows, by: step) {
        let rows = start..<min(start + step, states.rows)
        let best = TopKTargets(of: logits(states.rows(rows)), k: kept, temperature: temperature)
        for row in rows {
          best.write(row: row - start, firstClass: classes.lowerBound, to: message.rows(row..<row + 1))
        }
      }
      return message
    }
  }

  /// The answer in the messages of all ranks that have a part of the classes, in the order of the classes.
  ///
  /// - Parameter head: what turns states into logits, for hidden states.
  func decode(_ parts: [(classes: Range<Int>, message: Tensor)], head: TeacherHead?) -> SoftTargets {
    switch payload {
    case .logits: return .logits(joined(parts))
    case .hidden:
      guard let head else { preconditionFailure("hidden states came where there is no head") }
      return head.targets(states(in: parts[0].message))
    case .topK(let count, let temperature):
      let rows = parts[0].message.rows
      let kept = kept(of: parts.reduce(0) { $0 + $1.classes.count }, count)
      let logits = Tensor(uninitialized: [rows, kept])
      var (classes, rest): ([Int32], [Float]) = ([], [])
      for row in 0..<rows {
        var best = LargestLogits(kept)
        for part in parts {
          best.merge(part.message.rows(row..<row + 1).buffer, self.kept(of: part.classes.count, count), temperature)
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

/// The forms of the two splits: a teacher is checked on all its logits where the k largest are what it teaches.
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
  /// k logits, k classes (counted from `firstClass`), the log of the rest.
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
  /// Σ exp((z − reference) / T) over what is not among the entries, and its reference.
  private var restSum = 0.0
  private var restMaximum = -Float.infinity

  init(_ limit: Int) {
    self.limit = limit
    entries.reserveCapacity(limit + 1)
  }

  /// log Σ exp(z / T) of the others; −∞ where there are none.
  var logRest: Float { restSum > 0 ? Float(Double(restMaximum) + log(restSum)) : -.infinity }

  /// Takes up what a rank has selected of its classes, which are behind all that came before.
  mutating func merge(_ message: UnsafeMutableBufferPointer<Float>, _ count: Int, _ temperature: Float) {
    for place in 0..<count {
      let index = Int32(bitPattern: message[count + place].bitPattern)
      if let displaced = offer(message[place], index) { addToRest(displaced / temperature) }
    }
    addToRest(message[2 * count])
  }

  /// Puts a logit among the largest; returns the one that has no place there (any more).
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
