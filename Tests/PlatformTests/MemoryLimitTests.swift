import Testing

@testable import Platform

@Suite struct MemoryLimitTests {
  @Test func `what is left of two limits is the less of what they leave`() {
    let pages = "1000 500 400 10 0 200 0\n"
    #expect(MemoryLimits.remaining(of: nil, and: nil, pages: pages, page: 4096) == nil)
    #expect(MemoryLimits.remaining(of: 8_192_000, and: nil, pages: pages, page: 4096) == 4_096_000)
    #expect(MemoryLimits.remaining(of: nil, and: 1_000_000, pages: pages, page: 4096) == 180_800)
    #expect(MemoryLimits.remaining(of: 8_192_000, and: 1_000_000, pages: pages, page: 4096) == 180_800)
  }

  @Test func `a process above its limit has nothing left`() {
    #expect(MemoryLimits.remaining(of: 4096, and: nil, pages: "2 1 1", page: 4096) == 0)
  }

  @Test func `a line that cannot be read leaves the limits unknown`() {
    #expect(MemoryLimits.remaining(of: 4096, and: 4096, pages: "", page: 4096) == nil)
  }
}
