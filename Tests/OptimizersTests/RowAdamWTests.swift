import Optimizers
import Tensors
import TestSupport
import Testing

@Suite struct RowAdamWTests {
  static let (rows, columns, steps) = (23, 20, 60)

  /// The rows that a step touches: some often, row 5 at steps 1 and 55 only, the last three never.
  func touched(_ step: Int) -> [Int32] {
    (0..<Int32(Self.rows - 3)).filter { row in
      row == 5 ? step == 1 || step == 55 : (Int(row) * 7 + step * 3) % (Int(row) + 2) < 2
    }
  }

  /// What dense AdamW and owners of rows make of the same table with the same gradients.
  func train(decay: Double, owners: Int, historyLimit: Int) -> (
    dense: Tensor, shared: Tensor, rows: [RowAdamW], whole: AdamW
  ) {
    let configuration = AdamWConfiguration(weightDecay: decay)
    let schedule = Schedule(.cosine, peak: 1e-2, warmup: 9, total: Self.steps)
    let dense = randomTensor([Self.rows, Self.columns], seed: 3)
    let shared = dense.copy()
    let whole = AdamW(configuration, segments: [ParameterSegment(range: 0..<dense.count, decays: true)])
    let parts = (0..<owners).map {
      RowAdamW(
        configuration, table: shared, first: $0, stride: owners, decays: true, historyLimit: historyLimit)
    }
    for step in 1...Self.steps {
      let gradient = Tensor.zeros(dense.shape)
      for row in touched(step) {
        gradient.rows(Int(row)..<Int(row) + 1).update(
          from: randomTensor([1, Self.columns], seed: UInt64(1000 * step + Int(row))))
      }
      let (rate, scale) = (schedule.learningRate(step: step), 1 / Double(step % 4 + 1))
      whole.update(dense, gradients: gradient, step: step, learningRate: rate, gradientScale: scale)
      for (owner, part) in parts.enumerated() {
        let own = touched(step).filter { Int($0) % owners == owner }
        part.catchUp(own)
        // What a forward pass would read is what dense training has at this moment.
        let compact = Tensor(uninitialized: [own.count + 1, Self.columns])
        for (place, row) in own.enumerated() {
          compact.rows(place..<place + 1).update(from: gradient.rows(Int(row)..<Int(row) + 1))
        }
        part.step(step, learningRate: rate, gradientScale: scale, rows: own, gradients: compact)
        for row in own {
          let range = Int(row)..<Int(row) + 1
          #expect(shared.rows(range).array == dense.rows(range).array, "row \(row) after step \(step)")
        }
      }
    }
    return (dense, shared, parts, whole)
  }

  @Test(arguments: [(0.0, 1, 1 << 16), (0.1, 1, 1 << 16), (0.1, 3, 1 << 16), (0.05, 2, 7), (0, 30, 1)])
  func `rows that wait for their steps come to the bits of dense AdamW`(decay: Double, owners: Int, limit: Int) {
    let (dense, shared, parts, whole) = train(decay: decay, owners: owners, historyLimit: limit)
    if decay > 0, limit > Self.steps { #expect(shared.array != dense.array, "rows do wait") }
    for part in parts { part.catchUp() }
    #expect(shared.array.map(\.bitPattern) == dense.array.map(\.bitPattern))
    for (owner, part) in parts.enumerated() {
      for own in 0..<part.count {
        let row = owner + own * owners
        for (mine, theirs) in [(part.firstMoments, whole.firstMoments), (part.secondMoments, whole.secondMoments)] {
          let expected = theirs.slice(at: row * Self.columns, [Self.columns]).array
          #expect(mine.rows(own..<own + 1).array.map(\.bitPattern) == expected.map(\.bitPattern), "row \(row)")
        }
      }
    }
  }

  @Test func `a table goes on from restored moments as if it had not been interrupted`() {
    let configuration = AdamWConfiguration(weightDecay: 0.1)
    let (table, other) = (randomTensor([6, 8], seed: 1), randomTensor([6, 8], seed: 1))
    let (first, second) = (
      RowAdamW(configuration, table: table, decays: true), RowAdamW(configuration, table: other, decays: true)
    )
    func step(_ t: Int, _ optimizer: RowAdamW) {
      optimizer.step(
        t, learningRate: 1e-2, gradientScale: 1, rows: [Int32(t % 4)],
        gradients: randomTensor([1, 8], seed: UInt64(t)))
    }
    for t in 1...5 { step(t, first) }
    first.catchUp()
    other.update(from: table)
    for row in 0..<6 {
      second.restore(
        row: Int32(row), first: first.firstMoments.floats + 8 * row, second: first.secondMoments.floats + 8 * row)
    }
    for t in 6...12 {
      step(t, first)
      step(t, second)
    }
    first.catchUp()
    second.catchUp()
    #expect(table.array == other.array && first.secondMoments.array == second.secondMoments.array)
  }
}
