import Collectives
import Platform
import Testing

extension RankTests {
  @Suite struct CommunicatorMessageTests {
    @Test("messages go round a ring, blocking or not, in any number of chunks, each under its own tag")
    func ring() throws {
      func run<T: SampleElement>(_ type: T.Type, _ group: any Communicator) throws {
        let next = (group.rank + 1) % group.size
        let previous = (group.rank + group.size - 1) % group.size
        for count in sampleCounts {
          let mine = samples(T.self, rank: group.rank, count: count)
          var first = [T](repeating: T(sample: 99), count: count)
          var second = first
          try mine.withUnsafeBufferPointer { send in
            try first.withUnsafeMutableBufferPointer { one in
              try second.withUnsafeMutableBufferPointer { two in
                // Tags 3 and 4 cross: the receive that is posted first is sent last.
                let receives = [
                  try group.iReceive(one, from: previous, tag: 3), try group.iReceive(two, from: previous, tag: 4),
                ]
                let sends = [try group.iSend(send, to: next, tag: 4), try group.iSend(send, to: next, tag: 3)]
                while !(try receives.testAll()) { _ = try sends.testAll() }
                try sends.waitAll()
              }
            }
          }
          #expect(first == samples(rank: previous, count: count))
          #expect(second == first)

          // Even ranks send first, odd ranks receive first; an odd ring's last pair is broken by rank 0 sending first.
          if group.rank % 2 == 0 { try group.send(mine, to: next, tag: 9) }
          let came = try group.receive(T.self, count: count, from: previous, tag: 9)
          if group.rank % 2 == 1 { try group.send(mine, to: next, tag: 9) }
          #expect(came == samples(rank: previous, count: count))
        }
      }
      try onEveryGroup { group throws in
        try run(Float.self, group)
        try run(Double.self, group)
        try run(Int.self, group)
        try run(Int32.self, group)
        try run(UInt8.self, group)
      }
    }

    @Test("a rank can send to itself any number of elements, before or after it asks for them")
    func toItself() throws {
      try onEveryGroup { group throws in
        let values = samples(Int.self, rank: group.rank, count: 5000)
        try group.send(values, to: group.rank, tag: 1)
        try group.send([Int](values.reversed()), to: group.rank, tag: 1)
        #expect(try group.receive(count: 5000, from: group.rank, tag: 1) == values)
        #expect(try group.receive(count: 5000, from: group.rank, tag: 1) == [Int](values.reversed()))

        var later = [Int](repeating: 0, count: 5000)
        try later.withUnsafeMutableBufferPointer { buffer in
          let pending = try group.iReceive(buffer, from: group.rank, tag: 2)
          #expect(try pending.test() == false)
          try group.send(values, to: group.rank, tag: 2)
          #expect(try pending.test())
        }
        #expect(later == values)
      }
    }

    @Test("waiting for a message to itself that was never sent is an error, not a hang")
    func neverSent() throws {
      for group in try RankTests.groups() {
        #expect(throws: RetortError.self) { try group.receive(Int.self, count: 1, from: group.rank, tag: 8) }
      }
    }

    @Test("scalars, arrays, bytes and text of lengths unknown to the others arrive whole")
    func conveniences() throws {
      try onEveryGroup { group throws in
        let rank = group.rank
        let size = group.size
        #expect(try group.allReduce(rank + 1, .sum) == size * (size + 1) / 2)
        #expect(try group.allReduce(Double(rank), .max) == Double(size - 1))
        #expect(try group.broadcast(rank * 10 + 3, root: size - 1) == (size - 1) * 10 + 3)
        #expect(try group.broadcast(rank == 0 ? [1.5, 2.5, 3.5] : []) == [1.5, 2.5, 3.5])
        let text = String(repeating: "größer ", count: 30)
        #expect(try group.broadcast(text: rank == size - 1 ? text : "nothing", root: size - 1) == text)
        #expect(try group.broadcast(bytes: rank == 0 ? [] : [1, 2]) == [])
        #expect(try group.allGather(rank * rank) == (0..<size).map { $0 * $0 })
        #expect(
          try group.allGather(text: String(repeating: "é", count: rank))
            == (0..<size).map { String(repeating: "é", count: $0) })
        #expect(try group.all(rank < size) == true)
        #expect(try group.all(rank > 0) == false)
        #expect(try group.any(rank == size - 1) == true)
        #expect(try group.any(rank == size) == false)
      }
    }
  }
}
