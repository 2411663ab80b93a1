import Platform
import Testing

@testable import Collectives

@Suite struct SoloCommunicatorTests {
  let solo = SoloCommunicator()

  @Test("a group of one is rank 0 of 1, and so are its parts")
  func shape() throws {
    #expect(solo.rank == 0 && solo.size == 1 && solo.isFirst)
    #expect(!solo.hostName.isEmpty)
    #expect(try solo.split(color: 3, key: -1).size == 1)
    #expect(try solo.splitByNode().size == 1)
  }

  @Test("reductions and gathers give back what went in")
  func identities() throws {
    #expect(try solo.allReduce([1, 2, 3], .sum) == [1, 2, 3])
    #expect(try solo.allGather([UInt8(7)]) == [[7]])
    #expect(try solo.gather([Int32(7)]) == [[7]])
    #expect(try solo.broadcast(text: "é") == "é")
    #expect(try solo.allGather(5) == [5])
  }

  @Test("reduceScatter into the buffer that is sent leaves it as it is")
  func inPlace() throws {
    var values: [Float] = [1, 2, 3]
    try values.withUnsafeMutableBufferPointer {
      try solo.iReduceScatter(UnsafeBufferPointer($0), into: $0, keeping: nil).wait()
    }
    #expect(values == [1, 2, 3])
  }

  @Test("messages with one tag arrive in order, and other tags do not mix in")
  func mailbox() throws {
    try solo.send([1], to: 0, tag: 1)
    try solo.send([9], to: 0, tag: 2)
    try solo.send([2], to: 0, tag: 1)
    #expect(try solo.receive(count: 1, from: 0, tag: 1) == [1])
    #expect(try solo.receive(count: 1, from: 0, tag: 1) == [2])
    #expect(try solo.receive(count: 1, from: 0, tag: 2) == [9])
  }

  @Test("a message of another length than expected is an error")
  func lengths() throws {
    try solo.send([1, 2], to: 0, tag: 1)
    #expect(throws: RetortError.self) { try solo.receive(Int.self, count: 3, from: 0, tag: 1) }
  }

  @Test("receives that were posted first are filled first, and keep their owner until then")
  func posted() throws {
    final class Owner {}
    var owner: Owner? = Owner()
    weak let watched = owner
    let memory = UnsafeMutableBufferPointer<Int32>.allocate(capacity: 2)
    memory.initialize(repeating: 0)
    defer { memory.deallocate() }
    let first = try solo.iReceive(
      UnsafeMutableBufferPointer(rebasing: memory[0..<1]), from: 0, tag: 5, keeping: owner)
    let second = try solo.iReceive(UnsafeMutableBufferPointer(rebasing: memory[1..<2]), from: 0, tag: 5, keeping: nil)
    owner = nil
    #expect(watched != nil)
    try solo.send([Int32(10)], to: 0, tag: 5)
    #expect(try first.test() == true)
    #expect(try second.test() == false)
    #expect(watched == nil)
    #expect(throws: RetortError.self) { try second.wait() }
    try solo.send([Int32(20)], to: 0, tag: 5)
    try second.wait()
    #expect(Array(memory) == [10, 20])
  }

  @Test("an agreement of one throws its own error, collective, naming no rank")
  func agreement() {
    let error = #expect(throws: RetortError.self) {
      try solo.agree { throw RetortError(.input, "bad", at: "file:1", remedy: "mend it") }
    }
    #expect(error?.description == "file:1: bad. Mend it.")
    #expect(error?.isCollective == true)
  }

  @Test("sums of parts go in order, with a stride, for every element type")
  func sums() {
    func run<T: CollectiveElement & ExpressibleByIntegerLiteral>(_ type: T.Type) {
      let parts: [T] = [1, 2, 100, 10, 20, 100, 30, 40, 100]
      var out: [T] = [0, 0]
      T.sum(parts: parts, partCount: 3, stride: 3, into: &out, count: 2)
      #expect(out == [41, 62])
    }
    run(Float.self)
    run(Double.self)
    run(Int.self)
    run(Int32.self)
    run(UInt8.self)
  }

  @Test("scratch is reused by requests that fit, and a much larger block waits for one its size")
  func scratch() {
    let pool = ScratchPool()
    func leaseTogether(_ first: Int, _ second: Int) {
      let leases = [pool.lease(bytes: first), pool.lease(bytes: second)]
      withExtendedLifetime(leases) {}
    }
    leaseTogether(100_000, 1_000_000)
    #expect(pool.allocations == 2)
    leaseTogether(90_000, 990_000)
    #expect(pool.allocations == 2)
    leaseTogether(90_000, 90_000)
    #expect(pool.allocations == 3)
  }
}
