import Platform

/// Special tokens and texts in the order of a template, with a segment number for each part.
struct TemplatePostProcessor: PostProcessor {
  enum Part: Equatable, Sendable {
    case special(ids: [Int32], typeID: Int32)
    case first(typeID: Int32)
    case second(typeID: Int32)
  }

  let single: [Part]
  let pair: [Part]
  var trims: [OffsetTrim] = []

  /// The texts alone, concatenated.
  static let plain = TemplatePostProcessor(
    single: [.first(typeID: 0)], pair: [.first(typeID: 0), .second(typeID: 1)])

  /// `[CLS] A [SEP]`, and `[CLS] A [SEP] B [SEP]` with segment 1 after the first [SEP].
  static func bert(cls: Int32, sep: Int32) -> TemplatePostProcessor {
    let single: [Part] = [.special(ids: [cls], typeID: 0), .first(typeID: 0), .special(ids: [sep], typeID: 0)]
    return TemplatePostProcessor(
      single: single, pair: single + [.second(typeID: 1), .special(ids: [sep], typeID: 1)])
  }

  /// `<s> A </s>`, and `<s> A </s> </s> B </s>`, all in segment 0.
  static func roberta(cls: Int32, sep: Int32) -> TemplatePostProcessor {
    let single: [Part] = [.special(ids: [cls], typeID: 0), .first(typeID: 0), .special(ids: [sep], typeID: 0)]
    let separator = Part.special(ids: [sep], typeID: 0)
    return TemplatePostProcessor(single: single, pair: single + [separator, .second(typeID: 0), separator])
  }

  func specialTokenCount(isPair: Bool) -> Int {
    (isPair ? pair : single).reduce(0) { count, part in
      if case .special(let ids, _) = part { count + ids.count } else { count }
    }
  }

  /// The tokens around a single text, in order.
  var specialTokens: [Int32] {
    single.flatMap { part in if case .special(let ids, _) = part { ids } else { [Int32]() } }
  }

  var leadingTokenCount: Int {
    var count = 0
    for part in single {
      guard case .special(let ids, _) = part else { break }
      count += ids.count
    }
    return count
  }

  var leadingToken: Int32? { if case .special(let ids, _)? = single.first { ids.last } else { nil } }

  func largestTypeID(isPair: Bool) -> Int32 {
    (isPair ? pair : single).reduce(0) { largest, part in
      switch part {
      case .special(let ids, let typeID): ids.isEmpty ? largest : max(largest, typeID)
      case .first(let typeID), .second(let typeID): max(largest, typeID)
      }
    }
  }

  func assemble(_ first: [Int32], _ second: [Int32]?, addSpecialTokens: Bool) -> Encoding {
    var ids: [Int32] = []
    var typeIDs: [Int32] = []
    let capacity = first.count + (second?.count ?? 0) + specialTokenCount(isPair: second != nil)
    ids.reserveCapacity(capacity)
    typeIDs.reserveCapacity(capacity)
    func add(_ part: [Int32], _ typeID: Int32) {
      ids.append(contentsOf: part)
      typeIDs.append(contentsOf: repeatElement(typeID, count: part.count))
    }
    for part in second == nil ? single : pair {
      switch part {
      case .special(let special, let typeID): if addSpecialTokens { add(special, typeID) }
      case .first(let typeID): add(first, typeID)
      case .second(let typeID): add(second ?? [], typeID)
      }
    }
    return Encoding(ids: ids, typeIDs: typeIDs)
  }

  func add(to digest: Digest) {
    digest.update("template")
    for parts in [single, pair] {
      digest.update(UInt64(parts.count))
      for part in parts {
        switch part {
        case .special(let ids, let typeID): digest.update("special \(ids) \(typeID)")
        case .first(let typeID): digest.update("first \(typeID)")
        case .second(let typeID): digest.update("second \(typeID)")
        }
      }
    }
  }
}
