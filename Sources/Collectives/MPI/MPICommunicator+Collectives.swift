import CMPI

// Each operation checks its arguments and makes one MPI call per chunk.
extension MPICommunicator {
  package func broadcast<T: CollectiveElement>(_ buffer: UnsafeMutableBufferPointer<T>, root: Int) throws {
    checkRank(root, "broadcast")
    guard let base = buffer.baseAddress else { return }
    if rank == root, size > 1 { Traffic.sent(bytes(of: buffer.count, T.self)) }
    for chunk in chunking.chunks(of: buffer.count, stride: MemoryLayout<T>.stride) {
      try check(
        MPI_Bcast(base + chunk.lowerBound, Int32(chunk.count), T.elementKind.datatype, Int32(root), handle),
        "MPI_Bcast")
    }
  }

  package func allReduce<T: CollectiveElement>(
    _ buffer: UnsafeMutableBufferPointer<T>, _ reduction: Reduction
  ) throws {
    guard let base = buffer.baseAddress else { return }
    Traffic.sent(2 * bytes(of: buffer.count, T.self) * (size - 1) / size)
    for chunk in chunking.chunks(of: buffer.count, stride: MemoryLayout<T>.stride) {
      try check(
        MPI_Allreduce(
          cmpi_in_place(), base + chunk.lowerBound, Int32(chunk.count), T.elementKind.datatype, reduction.operation,
          handle),
        "MPI_Allreduce")
    }
  }

  package func allGather<T: CollectiveElement>(_ buffer: UnsafeMutableBufferPointer<T>) throws {
    let blockCount = blockCount(of: buffer.count, "allGather")
    guard let base = buffer.baseAddress else { return }
    Traffic.sent((size - 1) * bytes(of: blockCount, T.self))
    var types = BlockTypes(T.self, blockCount: blockCount)
    for chunk in chunking.blockChunks(of: blockCount, stride: MemoryLayout<T>.stride, ranks: size) {
      let type = try types.type(width: chunk.count)
      try check(
        MPI_Allgather(cmpi_in_place(), 0, type, base + chunk.lowerBound, 1, type, handle), "MPI_Allgather")
    }
  }

  package func allGather<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>, counts: [Int]
  ) throws {
    checkGather(send: send.count, receive: receive.count, counts: counts, "allGather")
    guard let target = receive.baseAddress, let longest = counts.max(), longest > 0 else { return }
    let starts = offsets(of: counts)
    guard receive.count <= chunking.displacementCap else {
      try gatherByBroadcasts(send, target, counts, starts)
      return
    }
    Traffic.sent((size - 1) * bytes(of: send.count, T.self))
    for round in chunking.blockChunks(of: longest, stride: MemoryLayout<T>.stride, ranks: size) {
      let parts = counts.map { round.clamped(to: 0..<$0) }
      let widths = parts.map { Int32($0.count) }
      let places = zip(parts, starts).map { Int32($1 + $0.lowerBound) }
      try check(
        MPI_Allgatherv(
          send.baseAddress.map { $0 + parts[rank].lowerBound }, widths[rank], T.elementKind.datatype,
          target, widths, places, T.elementKind.datatype, handle),
        "MPI_Allgatherv")
    }
  }

  /// The unequal all-gather for buffers so large that their displacements do not fit in a C int.
  private func gatherByBroadcasts<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, _ target: UnsafeMutablePointer<T>, _ counts: [Int], _ starts: [Int]
  ) throws {
    if let source = send.baseAddress { (target + starts[rank]).update(from: source, count: send.count) }
    for root in 0..<size {
      try broadcast(UnsafeMutableBufferPointer(start: target + starts[root], count: counts[root]), root: root)
    }
  }

  package func gather<T: CollectiveElement>(
    _ send: UnsafeBufferPointer<T>, into receive: UnsafeMutableBufferPointer<T>?, counts: [Int], root: Int
  ) throws {
    checkRank(root, "gather")
    guard rank == root else {
      precondition(receive == nil, "gather: rank \(rank) is not the root, which alone receives")
      try sendChunks(send, to: root, tag: Tags.gather)
      return
    }
    checkGather(send: send.count, receive: receive?.count ?? 0, counts: counts, "gather")
    guard let target = receive?.baseAddress, let longest = counts.max() else { return }
    let starts = offsets(of: counts)
    if let source = send.baseAddress { (target + starts[rank]).update(from: source, count: send.count) }
    for round in chunking.chunks(of: longest, stride: MemoryLayout<T>.stride) {
      let arrivals = MPIOperation(self, keeping: nil)
      for source in 0..<size where source != rank {
        let part = round.clamped(to: 0..<counts[source])
        if part.isEmpty { continue }
        try arrivals.start("MPI_Irecv") {
          MPI_Irecv(
            target + starts[source] + part.lowerBound, Int32(part.count), T.elementKind.datatype, Int32(source),
            Tags.gather, handle, $0)
        }
      }
      try arrivals.wait()
    }
  }

  /// The bytes of `count` elements.
  func bytes<T>(of count: Int, _ type: T.Type) -> Int { count * MemoryLayout<T>.stride }

  /// The start of each rank's part.
  private func offsets(of counts: [Int]) -> [Int] {
    var sum = 0
    return counts.map { count in
      defer { sum += count }
      return sum
    }
  }
}
