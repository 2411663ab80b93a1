import Autograd
import Collectives
import Tensors

/// Sums gradients over ranks while the backward pass is still running, each rank keeping its blocks only (ZeRO-1).
///
/// An allreduce in its two halves: buckets leave as nonblocking reduce-scatters, in an order fixed at the start, as
/// soon as their last gradient is complete; after the optimizer has updated the owned blocks, an all-gather returns
/// the weights. Sums are taken in rank order, so a run repeats bit by bit.
final class GradientExchange {
  private let flat: FlatParameters
  private let communicator: any Communicator
  private let bucketOf: [ObjectIdentifier: Int]
  private let parametersIn: [Int]
  private var waitingFor: [Int] = []
  private var nextBucket = 0
  private var pending: [PendingOperation] = []
  private let summed: Tensor

  init(_ flat: FlatParameters, _ communicator: any Communicator) {
    self.flat = flat
    self.communicator = communicator
    var bucketOf: [ObjectIdentifier: Int] = [:]
    var parametersIn = [Int](repeating: 0, count: flat.buckets.count)
    for (parameter, range) in zip(flat.parameters, flat.ranges) {
      let bucket = flat.buckets.firstIndex { $0.contains(range.lowerBound) || range.isEmpty } ?? 0
      bucketOf[ObjectIdentifier(parameter)] = bucket
      parametersIn[bucket] += 1
    }
    self.bucketOf = bucketOf
    self.parametersIn = parametersIn
    // Alone, the gradients are their own sum.
    summed = communicator.size == 1 ? flat.gradients : Tensor(uninitialized: [flat.count / communicator.size])
  }

  /// Starts a step: gradients are zero, nothing has left.
  func begin() {
    flat.gradients.fill(0)
    waitingFor = parametersIn
    nextBucket = 0
  }

  /// Tells that a parameter's gradient is complete on this rank; sends what can be sent.
  func complete(_ parameter: Parameter) throws {
    guard communicator.size > 1, let bucket = bucketOf[ObjectIdentifier(parameter)] else { return }
    waitingFor[bucket] -= 1
    while nextBucket < flat.buckets.count, waitingFor[nextBucket] <= 0 { try sendNext() }
  }

  /// Lets MPI move data; it makes no progress by itself.
  func poll() throws {
    for operation in pending where !operation.isComplete { _ = try operation.test() }
  }

  /// Sends what is left (weights that no gradient reached, a rank without examples) and waits for all.
  ///
  /// - Returns: the summed gradients of the owned blocks, one after the other.
  func finish() throws -> Tensor {
    if communicator.size > 1 {
      while nextBucket < flat.buckets.count { try sendNext() }
      try pending.waitAll()
      pending = []
    }
    return summed
  }

  /// Returns the updated blocks of all ranks to all ranks.
  func gatherValues() throws {
    guard communicator.size > 1 else { return }
    let values = flat.values
    let operations = try flat.buckets.map { bucket in
      try communicator.iAllGather(
        UnsafeMutableBufferPointer(start: values.floats + bucket.lowerBound, count: bucket.count),
        keeping: values.storage)
    }
    try operations.waitAll()
  }

  private func sendNext() throws {
    let bucket = flat.buckets[nextBucket]
    let block = bucket.count / communicator.size
    let offset = bucket.lowerBound / communicator.size
    pending.append(
      try communicator.iReduceScatter(
        UnsafeBufferPointer(start: flat.gradients.floats + bucket.lowerBound, count: bucket.count),
        into: UnsafeMutableBufferPointer(start: summed.floats + offset, count: block), keeping: summed.storage))
    nextBucket += 1
  }
}
