/// The preconditions that both implementations check; a violation is a programming error.
extension Communicator {
  func checkRank(_ other: Int, _ operation: StaticString) {
    precondition((0..<size).contains(other), "\(operation): there is no rank \(other) among \(size)")
  }

  func checkTag(_ tag: Int, _ operation: StaticString) {
    precondition((0...Tags.last).contains(tag), "\(operation): tag \(tag) is not in 0 ... \(Tags.last)")
  }

  /// The length of a block in a buffer of P blocks.
  func blockCount(of count: Int, _ operation: StaticString) -> Int {
    precondition(count % size == 0, "\(operation): \(count) elements are not \(size) equal blocks")
    return count / size
  }

  func checkReduceScatter(send: Int, receive: Int) {
    precondition(
      send == receive * size, "reduceScatter: \(send) elements sent for blocks of \(receive) on \(size) ranks")
  }

  func checkGather(send: Int, receive: Int, counts: [Int], _ operation: StaticString) {
    precondition(counts.count == size, "\(operation): \(counts.count) counts for \(size) ranks")
    precondition(counts.allSatisfy { $0 >= 0 }, "\(operation): negative count in \(counts)")
    precondition(send == counts[rank], "\(operation): \(send) elements sent, \(counts[rank]) announced by rank \(rank)")
    precondition(
      receive == counts.reduce(0, +), "\(operation): room for \(receive) elements, \(counts.reduce(0, +)) announced")
  }
}

/// MPI guarantees tags up to 32767; the last is reserved for gather.
enum Tags {
  static let last = 32766
  static let gather: Int32 = 32767
}
