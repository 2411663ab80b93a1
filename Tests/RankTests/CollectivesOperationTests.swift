import Collectives
import Testing

extension RankTests {
  @Suite struct CollectiveOperationTests {
    @Test("broadcast gives every rank the root's elements, from any root, in any number of chunks")
    func broadcast() throws {
      func run<T: SampleElement>(_ type: T.Type, _ group: any Communicator) throws {
        for count in sampleCounts {
          for root in [0, group.size - 1] {
            var values = samples(T.self, rank: group.rank, count: count)
            try values.withUnsafeMutableBufferPointer { try group.broadcast($0, root: root) }
            #expect(values == samples(rank: root, count: count))
          }
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

    @Test("allReduce leaves sum, maximum and minimum over the ranks on every rank, blocking or not")
    func allReduce() throws {
      func run<T: SampleElement>(_ type: T.Type, _ group: any Communicator) throws {
        for count in sampleCounts {
          let all = (0..<group.size).map { samples(T.self, rank: $0, count: count) }
          for reduction in Reduction.allCases {
            let expected = (0..<count).map { index in
              let column = all.map { $0[index] }
              return switch reduction {
              case .sum: column.dropFirst().reduce(column[0], +)
              case .max: column.max()!
              case .min: column.min()!
              }
            }
            #expect(try group.allReduce(all[group.rank], reduction) == expected)
            var values = all[group.rank]
            try values.withUnsafeMutableBufferPointer { try poll(group.iAllReduce($0, reduction)) }
            #expect(values == expected)
          }
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

    @Test("reduceScatter gives each rank the sum of its block, waited for or polled, also into the block itself")
    func reduceScatter() throws {
      func run<T: SampleElement>(_ type: T.Type, _ group: any Communicator) throws {
        for block in sampleCounts {
          let own = group.rank * block..<(group.rank + 1) * block
          let expected = expectedSums(T.self, size: group.size, own)
          let values = samples(T.self, rank: group.rank, count: block * group.size)
          #expect(try group.reduceScatter(values) == expected)

          var received = [T](repeating: T(sample: 0), count: block)
          try values.withUnsafeBufferPointer { send in
            try received.withUnsafeMutableBufferPointer { try poll(group.iReduceScatter(send, into: $0)) }
          }
          #expect(received == expected)

          var inPlace = values
          try inPlace.withUnsafeMutableBufferPointer { buffer in
            try group.iReduceScatter(
              UnsafeBufferPointer(buffer), into: UnsafeMutableBufferPointer(rebasing: buffer[own])
            ).wait()
          }
          #expect(Array(inPlace[own]) == expected)
          #expect(Array(inPlace[..<own.lowerBound]) == Array(values[..<own.lowerBound]))
          #expect(Array(inPlace[own.upperBound...]) == Array(values[own.upperBound...]))
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

    @Test("reduceScatter adds floats in rank order, to the last bit")
    func reduceScatterOrder() throws {
      try onEveryGroup { group throws in
        let block = 333
        let all: [[Float]] = (0..<group.size).map { rank in
          let scale: Float = rank % 2 == 0 ? 1e4 : -3
          return (0..<block * group.size).map { scale / Float(3 + $0 * 7 + rank * 13) }
        }
        let expected: [Float] = (group.rank * block..<(group.rank + 1) * block).map { place in
          var sum = all[0][place]
          for other in all.dropFirst() { sum += other[place] }
          return sum
        }
        #expect(try group.reduceScatter(all[group.rank]) == expected)
      }
    }

    @Test("allGather in place fills the blocks of the others, blocking or not")
    func allGather() throws {
      func run<T: SampleElement>(_ type: T.Type, _ group: any Communicator) throws {
        for block in sampleCounts {
          let expected = (0..<group.size).flatMap { samples(T.self, rank: $0, count: block) }
          for blocking in [true, false] {
            var values = [T](repeating: T(sample: 77), count: block * group.size)
            values.replaceSubrange(
              group.rank * block..<(group.rank + 1) * block, with: samples(rank: group.rank, count: block))
            try values.withUnsafeMutableBufferPointer {
              if blocking { try group.allGather($0) } else { try poll(group.iAllGather($0)) }
            }
            #expect(values == expected)
          }
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

    @Test("unequal parts are gathered in rank order, on all ranks or on the root, empty ones included")
    func unequalGather() throws {
      func run<T: SampleElement>(_ type: T.Type, _ group: any Communicator) throws {
        for unit in [0, 1, 40, 301] {
          let all = (0..<group.size).map { samples(T.self, rank: $0, count: $0 % 3 * unit + $0) }
          #expect(try group.allGather(all[group.rank]) == all)
          for root in [0, group.size - 1] {
            #expect(try group.gather(all[group.rank], root: root) == (group.rank == root ? all : nil))
          }
        }
      }
      try onEveryGroup { group throws in
        try run(Float.self, group)
        try run(Double.self, group)
        try run(Int.self, group)
        try run(Int32.self, group)
        try run(UInt8.self, group)
        // As if the places of the parts did not fit in a C int.
        group.chunking.displacementCap = 8
        try run(Float.self, group)
      }
    }

    @Test("several operations may be in flight at once, and each completes with its own data")
    func manyInFlight() throws {
      try onEveryGroup { group throws in
        let block = 700
        let count = block * group.size
        let memory = (0..<4).map { bucket in
          let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: count)
          _ = buffer.initialize(from: samples(rank: group.rank, count: count, from: bucket * count))
          return buffer
        }
        defer {
          for buffer in memory { buffer.deallocate() }
        }
        let own = group.rank * block..<(group.rank + 1) * block
        var pending: [PendingOperation] = []
        for buffer in memory {
          pending.append(
            try group.iReduceScatter(
              UnsafeBufferPointer(buffer), into: UnsafeMutableBufferPointer(rebasing: buffer[own])))
          _ = try pending.testAll()
        }
        for (operation, buffer) in zip(pending, memory) {
          try poll(operation)
          try group.iAllGather(buffer).wait()
        }
        #expect(pending.allSatisfy { $0.isComplete })
        for (bucket, buffer) in memory.enumerated() {
          #expect(Array(buffer) == expectedSums(size: group.size, bucket * count..<(bucket + 1) * count))
        }
      }
    }

    @Test("barrier holds every rank until the last has come")
    func barrier() throws {
      for group in try RankTests.groups() { try group.barrier() }
    }
  }
}
