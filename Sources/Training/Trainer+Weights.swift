import Autograd
import Models
import Safetensors
import Tensors

extension Trainer {
  /// Brings all of the student's weights up to date on this rank; collective.
  ///
  /// Between steps a rank lacks the newest rows of embedding tables, which steps fetch on demand. With sharded weights
  /// this takes memory for all of them until the next step or evaluation; `writeWeights` does not.
  package func settle() throws {
    try exchange.refresh()
    for table in tables { try table.hold() }
    try exchange.strategy.holdAll()
  }

  /// Calls `body` with a function that brings one weight into memory, whole and up to date, until it brings the next;
  /// both are collective.
  func withWeights<T>(_ body: (_ bring: @escaping (Parameter) throws -> Void) throws -> T) throws -> T {
    release()
    try exchange.refresh()
    for table in tables { try table.settle() }
    defer { release() }
    return try body { [tables, exchange] parameter in
      for table in tables { if table.parameter === parameter { try table.hold() } else { table.release() } }
      try exchange.strategy.hold(parameter)
    }
  }

  /// Restores the part of a stored weight that this rank keeps.
  func restore(_ binding: WeightBinding, from stored: StoredTensor) {
    exchange.noteChange()
    guard flat.parts.weights == .owned, let parameter = binding.parameter else { return binding.fill(from: stored) }
    if let table = tables.first(where: { $0.parameter === parameter }) { return table.restore(weights: stored) }
    guard let index = flat.parameters.firstIndex(where: { $0 === parameter }) else { return }
    // Elements of a transpose are not neighbours in the file.
    let turned = binding.isTransposed ? binding.values(of: stored) : nil
    for (elements, shard) in flat.ownedParts(of: index) {
      let part = elements.clamped(to: binding.elements)
      if part.isEmpty { continue }
      let first = binding.elements.lowerBound
      let target = flat.values.floats + shard + part.lowerBound - elements.lowerBound
      if let turned {
        target.update(from: turned.floats + part.lowerBound - first, count: part.count)
      } else {
        stored.copyFloats(into: target, range: part.lowerBound - first..<part.upperBound - first)
      }
    }
  }

  /// Bytes of the student that this rank keeps between steps.
  package var memory: StudentMemory {
    let rows = tables.map(\.keptElements).reduce(0, +)
    let moments = 2 * (optimizer.firstMoments.count + tables.reduce(0) { $0 + $1.optimizer.firstMoments.count })
    return StudentMemory(
      weights: 4 * (flat.values.count + rows), gradients: 4 * flat.gradients.count, moments: 4 * moments)
  }

  /// The peak bytes of gathered weight and gradient buckets, besides the kept bytes.
  package var peakTransientBytes: Int { exchange.strategy.peakTransientBytes }

  /// Releases the weights that this rank does not keep, after a read of whole weights.
  func release() {
    for table in tables { table.release() }
    exchange.strategy.release()
  }
}
