import Collectives
import Platform
import Testing

extension RankTests {
  @Suite struct CommunicatorAgreementTests {
    @Test("agree returns each rank's own value when all is well")
    func allWell() throws {
      for group in try RankTests.groups() {
        #expect(try group.agree { group.rank * 2 } == group.rank * 2)
      }
    }

    @Test("when one rank fails, all throw its error, with rank and host")
    func oneFails() throws {
      let world = RankTests.world
      let hosts = try world.allGather(text: world.hostName)
      for culprit in 0..<world.size {
        let error = #expect(throws: RetortError.self) {
          try world.agree {
            if world.rank == culprit {
              throw RetortError(.input, "cannot \"open\" it", at: "data/größe.tsv:3", remedy: "look\nthere")
            }
          }
        }
        #expect(error?.kind == .input)
        #expect(error?.what == "cannot \"open\" it")
        #expect(error?.remedy == "look\nthere")
        #expect(error?.isCollective == true)
        let place = world.size == 1 ? "" : ", rank \(culprit) on \(hosts[culprit])"
        #expect(error?.location == "data/größe.tsv:3" + place)
      }
      // Nobody is out of step afterwards.
      #expect(try world.allReduce(1, .sum) == world.size)
    }

    @Test("when several fail, the lowest failing rank is heard; when all say the same, none is named")
    func severalFail() throws {
      let world = RankTests.world
      let hosts = try world.allGather(text: world.hostName)
      let different = #expect(throws: RetortError.self) {
        try world.agree { throw RetortError(.numerical, "rank \(world.rank) lost count") }
      }
      #expect(different?.what == "rank 0 lost count")
      #expect(different?.location == (world.size == 1 ? nil : "rank 0 on \(hosts[0])"))

      let same = #expect(throws: RetortError.self) {
        try world.agree("step large_to_mini") { throw RetortError(.configuration, "no such key", at: "chain.yaml:4") }
      }
      #expect(same?.location == "step large_to_mini, chain.yaml:4")
      #expect(same?.kind == .configuration)
    }

    @Test("an error that is not Retort's own is shipped with its description")
    func foreignError() throws {
      struct Odd: Error {}
      let error = #expect(throws: RetortError.self) { try RankTests.world.agree { throw Odd() } }
      #expect(error?.kind == .unexpected)
      #expect(error?.what == "Odd()")
    }

    @Test("an agreement inside another names the place once")
    func nested() throws {
      let world = RankTests.world
      let hosts = try world.allGather(text: world.hostName)
      let error = #expect(throws: RetortError.self) {
        try world.agree {
          try world.agree { if world.rank == world.size - 1 { throw RetortError(.checkpoint, "disk full") } }
        }
      }
      #expect(error?.location == (world.size == 1 ? nil : "rank \(world.size - 1) on \(hosts[world.size - 1])"))
    }

    @Test("equal fingerprints pass, and the first rank that differs is named")
    func fingerprints() throws {
      let world = RankTests.world
      try world.requireEqual(String(repeating: "same ", count: 500), label: "the plan")
      guard world.size > 1 else { return }
      let last = world.size - 1
      let hosts = try world.allGather(text: world.hostName)
      let error = #expect(throws: RetortError.self) {
        try world.requireEqual(world.rank == last ? "seed 43" : "seed 42", label: "the plan")
      }
      #expect(error?.kind == .preflight)
      #expect(error?.isCollective == true)
      #expect(
        error?.what
          == "the plan differs between ranks: rank 0 on \(hosts[0]) has \"seed 42\", "
          + "rank \(last) on \(hosts[last]) has \"seed 43\"")
    }
  }

  @Suite struct CommunicatorGroupTests {
    @Test("the world has the size and rank that the launcher announced")
    func launched() throws {
      let world = RankTests.world
      #expect(world.rank == MPISession.launchedRank)
      #expect((0..<world.size).contains(world.rank))
      #expect(!world.hostName.isEmpty)
      #expect(try world.allGather(world.rank) == Array(0..<world.size))
      #expect(MPISession.isLive == (world is MPICommunicator))
      #expect(!MPISession.libraryVersion.isEmpty)
    }

    @Test("split groups by colour and orders by key")
    func split() throws {
      let world = RankTests.world
      let colour = world.rank % 2
      let members = (0..<world.size).filter { $0 % 2 == colour }
      let forward = try world.split(color: colour, key: world.rank)
      #expect(forward.size == members.count)
      #expect(try forward.allGather(world.rank) == members)
      let backward = try world.split(color: colour, key: Int.max - world.rank)
      #expect(try backward.allGather(world.rank) == members.reversed())
      #expect(backward.chunking == world.chunking)
    }

    @Test("splitByNode keeps the ranks of one host together")
    func byNode() throws {
      let world = RankTests.world
      let node = try world.splitByNode()
      let hosts = try world.allGather(text: world.hostName)
      #expect(node.size == hosts.filter { $0 == world.hostName }.count)
    }

    @Test("exchanges of the same sizes take their scratch from the free list")
    func scratch() throws {
      guard let world = RankTests.world as? MPICommunicator else { return }
      let values = samples(Float.self, rank: world.rank, count: 30_000 * world.size)
      var received = [Float](repeating: 0, count: 30_000)
      func step() throws {
        try values.withUnsafeBufferPointer { send in
          try received.withUnsafeMutableBufferPointer { try world.iReduceScatter(send, into: $0).wait() }
        }
      }
      try step()
      let allocations = world.scratchAllocations
      for _ in 0..<5 { try step() }
      #expect(world.scratchAllocations == allocations)
    }

    @Test("an operation keeps the owner of its buffer until it is complete")
    func keeping() throws {
      final class Owner {
        let memory = UnsafeMutableBufferPointer<Float>.allocate(capacity: 4096)
        deinit { memory.deallocate() }
      }
      var owner: Owner? = Owner()
      weak let watched = owner
      let memory = owner!.memory
      memory.initialize(repeating: 1)
      let pending = try RankTests.world.iAllReduce(memory, .sum, keeping: owner)
      let isSolo = pending.isComplete
      owner = nil
      #expect((watched != nil) == !isSolo)
      try pending.wait()
      #expect(watched == nil)
    }
  }
}
