import Platform

extension Trace {
  /// Starts the recording on every rank, with rank 0's clock; collective.
  package static func start(on communicator: any Communicator, limits: Limits = Limits()) throws {
    let offset = try clockOffset(on: communicator)
    let origin = try communicator.broadcast(Int(now))
    start(
      rank: communicator.rank, host: communicator.hostName, clockOffset: offset, origin: Int64(origin), limits: limits)
  }

  /// Rank 0's clock minus this rank's, in nanoseconds; collective.
  ///
  /// Rank 0 answers each rank's request with its time, which is taken as the time halfway between request and answer;
  /// the error is at most half the round trip. Of 16 tries the fastest one counts.
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

  /// Writes the events of all ranks into one file, in rank order; collective.
  ///
  /// - Returns: a warning for the user, on every rank, if events were dropped; otherwise nil.
  /// Throws `.checkpoint`, on all ranks, if the file cannot be written.
  package func write(to path: String, on communicator: any Communicator) throws -> String? {
    let mine = Array(text().utf8)
    let counts = try communicator.allGather(mine.count)
    let dropped = try communicator.allReduce(self.dropped, .sum)
    try communicator.agree("the trace") {
      guard communicator.isFirst else { return try communicator.send(mine, to: 0) }
      // Receive from all ranks even if the file fails: a sending rank must not wait forever.
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
    return "\(path) lacks \(grouped(dropped)) events, which exceeded the trace's memory"
  }

  /// Writes only this rank's events, for a rank that fails while the others may not answer.
  package func writeAlone(to path: String) throws {
    try OutputFile.write(Trace.fileStart + text() + Trace.fileEnd, to: path)
  }
}
