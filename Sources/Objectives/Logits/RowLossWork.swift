import CKernels
import Tensors

/// A plan's terms on one chunk of rows, in three passes over the student's logits, block by block.
///
///     add(block)           every block once: maxima and sums of each row
///     finish(blocks)       every block a second time if a term needs it: values
///     gradient(block)      Σ over terms of weight · d(term)/ds, block by block
///
/// Cross-entropy and one forward KL share kernels that read each block once before its gradient (`HeadRows`); every
/// other comparison has its own `DivergenceRows`, or whole rows if it sorts, reads the label or uses no softmax. If the
/// terms with teachers compare some of the classes alone, cross-entropy has rows of its own.
final class RowLossWork {
  private let plan: LogitsPlan
  private let labels: ArraySlice<Int32>
  private let classes: Int
  /// The first classes, which terms with teachers compare. No block has classes on both sides of this number.
  private let compared: Int
  private let targets: [LogitsTarget: TargetLogits]
  /// The forward KL of `plan.parts[fastPart]`, and cross-entropy unless `whole` has it.
  private let fast: HeadRows
  /// Cross-entropy over all classes, if terms with teachers compare fewer.
  private let whole: HeadRows?
  private let fastPart: Int?
  private let best: TopKTargets?
  private var slow: [SlowPart] = []
  private let hardWeight: Double
  /// The logits of each block, by its first class, as they are before top-k classes are overwritten; only for terms
  /// that read them.
  private var copies: [Int: Tensor] = [:]

  /// A comparison that `HeadRows` does not compute.
  private struct SlowPart {
    let part: LogitsPlan.Part
    let rows: DivergenceRows?
    /// The first classes, which it reads.
    let classes: Int
    /// The teacher's share of each row; 0 excludes the row.
    let shares: [Double]
    /// The gradient of whole rows, [R, classes], for terms that compute it with the value.
    var gradient: Tensor?

    func reads(_ block: Range<Int>) -> Bool { block.upperBound <= classes }
  }

  private var count: Int { labels.count }

  /// - Parameters:
  ///   - targets: the targets of the plan's parts, for these rows; `best` replaces them for a top-k teacher.
  ///   - shares: for each part with `byConfidence`, one share per row; all other parts use the plan's share.
  init(
    _ plan: LogitsPlan, labels: ArraySlice<Int32>, classes: Int, targets: [LogitsTarget: TargetLogits],
    best: TopKTargets?, shares: [Int: [Double]]
  ) {
    self.plan = plan
    self.labels = labels
    self.classes = classes
    compared = plan.compared(of: classes)
    self.targets = targets
    self.best = best
    hardWeight = plan.crossEntropies.reduce(0) { $0 + $1.weight * (1 - $1.smoothing) }
    // The buckets of a top-k teacher are exact at any temperature.
    fastPart = plan.parts.firstIndex {
      $0.loss.isForwardKL && !$0.byConfidence && (best != nil || RowLoss.fastTemperatures.contains($0.temperature))
    }
    let isWhole = compared == classes
    fast = HeadRows(
      labels: isWhole ? Array(labels) : [Int32](repeating: -1, count: labels.count), best: best,
      hasTeacher: fastPart != nil && best == nil)
    whole = isWhole ? nil : HeadRows(labels: labels, best: nil, hasTeacher: false)
    let isLabelled = labels.map { $0 >= 0 ? 1.0 : 0 }
    for (index, part) in plan.parts.enumerated() where index != fastPart {
      add(part, shares: shares[index] ?? [Double](repeating: part.share, count: labels.count))
    }
    for part in plan.smoothingParts { add(part, shares: isLabelled.map { $0 * part.share }) }
  }

  private func add(_ part: LogitsPlan.Part, shares: [Double]) {
    var rows: DivergenceRows?
    if case .divergence = part.loss, best == nil || part.target == .labels {
      rows = DivergenceRows(divergence(part), count: count)
    }
    slow.append(SlowPart(part: part, rows: rows, classes: classes(of: part), shares: shares))
  }

  private func classes(of part: LogitsPlan.Part) -> Int { part.target == .labels ? classes : compared }

  private func divergence(_ part: LogitsPlan.Part) -> rtk_divergence {
    guard case .divergence(let kind, let parameter, _) = part.loss else {
      preconditionFailure("\(part.loss) is no divergence")
    }
    return rtk_divergence(
      kind: kind, temperature: part.temperature, parameter: Float(parameter), classes: classes(of: part))
  }

  /// The temperature of the kernels that `fast` uses.
  private var temperature: Float { best?.temperature ?? fastPart.map { plan.parts[$0].temperature } ?? 1 }

  private func fastBlock(_ block: Range<Int>, computing: Bool) -> TargetLogits.Block? {
    guard best == nil, let fastPart else { return nil }
    return targets[plan.parts[fastPart].target]?.block(block, computing: computing)
  }

  private func block(_ part: SlowPart, _ block: Range<Int>) -> TargetLogits.Block? {
    targets[part.part.target]?.block(block, computing: false)
  }

  /// Adds the student's logits of a block of classes, [R or more, classes]; a top-k teacher's classes are overwritten
  /// with −∞.
  func add(_ scores: Tensor, _ range: Range<Int>) {
    let isCompared = range.upperBound <= compared
    for target in targets.values where isCompared && target.classes == compared {
      _ = target.block(range, computing: true)
    }
    if best != nil, isCompared, whole != nil || slow.contains(where: { $0.rows != nil }) {
      copies[range.lowerBound] = scores.copy()
    }
    for part in slow where part.reads(range) { part.rows?.add(scores, block(part, range)) }
    whole?.add(scores, nil, first: range.lowerBound, temperature: 1)
    guard isCompared else { return }
    fast.add(scores, fastBlock(range, computing: false), first: range.lowerBound, temperature: temperature)
  }

  /// The unweighted sums of the plan's terms over the rows, and their weighted total.
  ///
  /// - Parameter scores: the logits passed to `add`.
  func finish(_ blocks: [Range<Int>], _ scores: (Range<Int>) -> Tensor)
    -> (sums: [Double], total: Double)
  {
    var total = 0.0
    var sums = [Double](repeating: 0, count: plan.termCount)
    let own = fastPart.map { plan.parts[$0] }
    let (first, soft) = fast.finish(
      hardWeight: hardWeight, softWeight: own.map { $0.weight * $0.share } ?? 0, temperature: temperature)
    let hard = whole.map { $0.finish(hardWeight: hardWeight, softWeight: 0, temperature: 1).hard } ?? first
    for term in plan.crossEntropies { sums[term.term] += (1 - term.smoothing) * hard }
    total += hardWeight * hard
    if let own {
      sums[own.term] += own.share * soft
      total += own.weight * own.share * soft
    }
    for place in slow.indices {
      let (part, sum) = (slow[place].part, value(of: place, blocks, scores))
      sums[part.term] += sum
      total += part.weight * sum
    }
    return (sums, total)
  }

  private func value(of place: Int, _ blocks: [Range<Int>], _ scores: (Range<Int>) -> Tensor) -> Double {
    let part = slow[place]
    if let rows = part.rows {
      for range in blocks where part.reads(range) {
        rows.measure(copies[range.lowerBound] ?? scores(range), block(part, range))
      }
      let factor = part.part.loss.factor(part.part.temperature)
      return zip(rows.values, part.shares).reduce(0) { $0 + ($1.1 == 0 ? 0 : factor * $1.0 * $1.1) }
    }
    if best != nil {
      let (weight, share) = (part.part.weight, part.part.share)
      let sum = fast.addBuckets(divergence(part.part), weight: weight * share)
      return share * part.part.loss.factor(part.part.temperature) * sum
    }
    return wholeRows(place, blocks, scores)
  }

  /// Computes value and gradient of a term that needs all classes of a row at once.
  private func wholeRows(_ place: Int, _ blocks: [Range<Int>], _ scores: (Range<Int>) -> Tensor) -> Double {
    let part = slow[place]
    guard let target = targets[part.part.target] else { preconditionFailure("no logits for \(part.part.target)") }
    let classes = part.classes
    let teacher = target.whole(rows: count, computing: target.classes != classes)
    let student = Tensor(uninitialized: [count, classes])
    for range in blocks where part.reads(range) {
      let from = scores(range)
      for row in 0..<count {
        (student.floats + row * classes + range.lowerBound).update(
          from: from.floats + row * range.count, count: range.count)
      }
    }
    let gradient = Tensor.zeros([count, classes])
    let values = RowNumbers<Double>(count, 0)
    let weights = RowNumbers(part.shares.map { Float($0 * part.part.weight) })
    let labels = RowNumbers(self.labels)
    let (width, temperature) = (teacher.columns, part.part.temperature)
    ThreadTeam.split(count, cost: 40 * (classes + width)) { rows in
      let (row, many) = (rows.lowerBound, rows.count)
      let (s, t, g) = (
        student.floats + row * classes, teacher.floats + row * width, gradient.floats + row * classes
      )
      switch part.part.loss {
      case .decoupledKL(let target, let rest):
        rtk_decoupled_kl(
          values.start + row, g, weights.start + row, s, t, labels.start + row, many, classes, temperature, target,
          rest)
      case .sortedL1:
        let scratch = Storage(bytes: 8 * 4 * (classes + width))
        rtk_sorted_l1(
          values.start + row, g, weights.start + row, s, t, scratch.address.assumingMemoryBound(to: UInt64.self), many,
          classes, width, temperature)
      case .bernoulliKL:
        for place in 0..<many {
          values.start[row + place] = BernoulliKL.row(
            s + place * classes, t + place * width, classes, temperature, weight: weights.start[row + place],
            gradient: g + place * classes)
        }
      case .divergence: preconditionFailure("a divergence does not need whole rows")
      }
    }
    slow[place].gradient = gradient
    return zip(values.buffer, part.shares).reduce(0) { $0 + $1.0 * $1.1 }
  }

  /// Writes the gradient with respect to a block's logits into `gradient`, [R or more, classes], rounded if that is
  /// bf16; after `finish`.
  func gradient(of scores: Tensor, _ range: Range<Int>, into gradient: Tensor) {
    let added = slow.filter { $0.part.weight != 0 && ($0.rows != nil || $0.gradient != nil) && $0.reads(range) }
    let isAlone = added.isEmpty && (whole == nil || range.lowerBound >= compared)
    let exact = isAlone || gradient.dtype == .float32 ? gradient : Tensor(uninitialized: scores.shape)
    addRows(of: scores, range, into: exact)
    for part in added {
      if let rows = part.rows {
        rows.addGradient(
          of: copies[range.lowerBound] ?? scores, block(part, range), into: exact,
          weights: part.shares.map { Float($0 * part.part.weight) })
      } else if let whole = part.gradient {
        for row in 0..<count {
          rtk_add(
            exact.floats + row * range.count, exact.floats + row * range.count,
            whole.floats + row * part.classes + range.lowerBound, range.count)
        }
      }
    }
    if exact.storage !== gradient.storage {
      rtk_f32_to_bf16(gradient.bf16Words, exact.floats, count * range.count)
    }
  }

  /// Writes the gradient of cross-entropy and of the forward KL beside it.
  private func addRows(of scores: Tensor, _ range: Range<Int>, into gradient: Tensor) {
    var place = gradient
    if let whole {
      whole.gradient(
        of: copies[range.lowerBound] ?? scores, nil, into: gradient, first: range.lowerBound, hardWeight: hardWeight,
        temperature: 1)
      if range.lowerBound >= compared { return }
      place = Tensor(uninitialized: scores.shape)
    }
    fast.gradient(
      of: scores, fastBlock(range, computing: false), into: place, first: range.lowerBound, hardWeight: hardWeight,
      temperature: temperature)
    if whole != nil { rtk_add(gradient.floats, gradient.floats, place.floats, count * range.count) }
  }
}
