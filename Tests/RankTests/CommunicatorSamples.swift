import Collectives

/// An element that tests can make from a small whole number.
protocol SampleElement: CollectiveElement, Comparable, AdditiveArithmetic {
  init(sample: Int)
}

extension Float: SampleElement { init(sample: Int) { self = Float(sample) } }
extension Double: SampleElement { init(sample: Int) { self = Double(sample) } }
extension Int: SampleElement { init(sample: Int) { self = sample } }
extension Int32: SampleElement { init(sample: Int) { self = Int32(sample) } }
extension UInt8: SampleElement { init(sample: Int) { self = UInt8(truncatingIfNeeded: sample) } }

/// Numbers that depend on rank and place, small enough that sums over 20 ranks are exact in every type.
func sample<T: SampleElement>(_ type: T.Type = T.self, rank: Int, _ index: Int) -> T {
  T(sample: (rank * 5 + index * 3 + index / 7) % 12)
}

func samples<T: SampleElement>(_ type: T.Type = T.self, rank: Int, count: Int, from start: Int = 0) -> [T] {
  (start..<start + count).map { sample(rank: rank, $0) }
}

/// One sum over all ranks, in rank order.
func expectedSums<T: SampleElement>(_ type: T.Type = T.self, size: Int, _ range: Range<Int>) -> [T] {
  range.map { index in (1..<max(size, 1)).reduce(sample(rank: 0, index)) { $0 + sample(rank: $1, index) } }
}

/// What an operation is tried on: nothing, one element, less than a chunk, whole chunks, and a rest.
let sampleCounts = [0, 1, 5, 64, 1003]

/// Calls `body` for every group, with many small chunks and with the default ones, and restores the chunking.
func onEveryGroup(_ body: (any Communicator) throws -> Void) throws {
  for group in try RankTests.groups() {
    let before = group.chunking
    defer { group.chunking = before }
    for chunking in [Chunking(bytes: 64), Chunking(elementCap: 100), before] {
      group.chunking = chunking
      try body(group)
    }
  }
}

/// Polls until an operation is complete, then checks that waiting again is harmless.
func poll(_ operation: PendingOperation) throws {
  while !(try operation.test()) {}
  try operation.wait()
}

// Operations without an owner to keep alive, for buffers that outlive them.
extension Communicator {
  func iAllReduce<T: CollectiveElement>(_ buffer: UnsafeMutableBufferPointer<T>, _ reduction: Reduction) throws
    -> PendingOperation
  { try iAllReduce(buffer, reduction, keeping: nil) }

  func iReduceScatter<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>
  ) throws -> PendingOperation { try iReduceScatter(send, into: receive, keeping: nil) }

  func iAllGather<T: CollectiveElement>(_ buffer: UnsafeMutableBufferPointer<T>) throws -> PendingOperation {
    try iAllGather(buffer, keeping: nil)
  }

  func iSend<T: CollectiveElement>(_ buffer: UnsafeBufferPointer<T>, to destination: Int, tag: Int) throws
    -> PendingOperation
  { try iSend(buffer, to: destination, tag: tag, keeping: nil) }

  func iReceive<T: CollectiveElement>(_ buffer: UnsafeMutableBufferPointer<T>, from source: Int, tag: Int) throws
    -> PendingOperation
  { try iReceive(buffer, from: source, tag: tag, keeping: nil) }

  /// Each rank's sum of its block of the values [P·n], waited for.
  func reduceScatter<T: SampleElement>(_ values: [T]) throws -> [T] {
    var received = [T](repeating: T(sample: 0), count: values.count / size)
    try values.withUnsafeBufferPointer { send in
      try received.withUnsafeMutableBufferPointer { try iReduceScatter(send, into: $0, keeping: nil).wait() }
    }
    return received
  }
}
