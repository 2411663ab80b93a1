import Platform

extension Trace {
  /// Begins to record on every rank, on one clock; collective.
  public static func start(on communicator: any Communicator, limits: Limits = Limits()) throws {
    let offset = try clockOffset(on: communicator)
    let origin = try communicator.broadcast(Int(now))
    start(
      rank: communicator.rank, host: communicator.hostName, clockOffset: offset, origin: Int64(origin), limits: limits)
  }

  /// What to add to this rank's clock to get rank 0's, nanoseconds; collective.
  ///
  /// Rank 0 answers each rank's question with its time. The answer was given in the middle between question and
  /// receipt, to half the time that both took; of some tries the quickest one counts.
  private static func clockOffset(on communicator: any Communicator) throws -> Int64 {
    var (offset, quickest) = (Int64(0), Int64.max)
    for rank in 1..<max(1, communicator.size) where communicator.isFirst || communicator.rank == rank {
      for _ in 0..<16 {
        if communicator.isFirst {
          _ = try communicator.receive(Int.self, count: 1, from: rank)
          try communicator.send([Int(now)], to: rank)
        } else {
          let asked = now
          try communicator.send([0], to: 0)
          let answer = Int64(try communicator.receive(Int.self, count: 1, from: 0)[0])
          let taken = now - asked
          if taken < quickest { (offset, quickest) = (answer - (asked + taken / 2), taken) }
        }
      }
    }
    return offset
  }

  /// Writes the events of all ranks into one file, rank after rank; collective.
  ///
  /// - Returns: what the user should know, on every rank; nil mostly.
  /// Throws `.checkpoint`, on all ranks, when the file cannot be written.
  public func write(to path: String, on communicator: any Communicator) throws -> String? {
    let mine = Array(text().utf8)
    let counts = try communicator.allGather(mine.count)
    let dropped = try communicator.allReduce(self.dropped, .sum)
    try communicator.agree("the trace") {
      guard communicator.isFirst else { return try communicator.send(mine, to: 0) }
      // All are received, whatever becomes of the file: a rank that sends must not wait for ever.
      var failure: (any Error)?
      var file: OutputFile?
      func append(_ bytes: [UInt8]) {
        do { try bytes.withUnsafeBytes { try file?.write($0) } } catch { failure = failure ?? error }
      }
      do { file = try OutputFile(path) } catch { failure = error }
      append(Array(Trace.fileStart.utf8))
      append(mine)
      for rank in 1..<max(1, communicator.size) {
        append(Array(",\n".utf8))
        append(try communicator.receive(count: counts[rank], from: rank))
      }
      append(Array(Trace.fileEnd.utf8))
      if let failure { throw failure }
      try file?.commit()
    }
    if dropped == 0 { return nil }
    return "\(path) lacks \(grouped(dropped)) events for which there was no room"
  }

  /// Writes the events of this rank alone, for one that fails while the others may not answer.
  public func writeAlone(to path: String) throws {
    try OutputFile.write(Trace.fileStart + text() + Trace.fileEnd, to: path)
  }
}
