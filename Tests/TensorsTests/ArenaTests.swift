import Testing

@testable import Tensors

@Suite(.timeLimit(.minutes(1))) struct ArenaTests {
  static let page = 4096

  @Test func `a block comes from the smallest free part that holds it`() {
    var arena = Arena()
    let sizes = [4096, 64, 1024, 64, 2048, 64]
    let blocks = sizes.map { arena.take($0)! }
    for index in [0, 2, 4] { arena.give(blocks[index], sizes[index]) }
    #expect(arena.take(960) == blocks[2])
    #expect(arena.take(1984) == blocks[4])
    #expect(arena.take(4096) == blocks[0])
  }

  @Test func `neighbouring free parts become one, in any order of giving back`() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
      var arena = Arena()
      let blocks = (0..<3).map { _ in arena.take(1024)! }
      let last = arena.take(64)!
      for index in order { arena.give(blocks[index], 1024) }
      #expect(arena.take(3072) == blocks[0], "\(order)")
      arena.give(blocks[0], 3072)
      arena.give(last, 64)
      #expect(arena.take(1 << 20) == blocks[0], "\(order): all is free, so the next block starts at the beginning")
    }
  }

  @Test func `batches of any length share the memory of the longest`() {
    var arena = Arena()
    func step(_ tokens: Int) {
      let kept = (1...4).map { arena.take(tokens * 6400 * $0)! }
      let passing = arena.take(Arena.rounded(tokens * 300))!
      arena.give(passing, Arena.rounded(tokens * 300))
      for (index, block) in kept.enumerated().reversed() { arena.give(block, tokens * 6400 * (index + 1)) }
    }
    step(512)
    let before = arena.growths
    for tokens in stride(from: 8, through: 512, by: 8) { step(tokens) }
    #expect(before > 0 && arena.growths == before)
  }

  @Test func `blocks never overlap and keep what is written to them, whatever the order`() {
    var arena = Arena()
    var random = RandomStream(seed: 3, purpose: "arena")
    var live: [(address: UnsafeMutableRawPointer, size: Int, mark: UInt8)] = []
    func check(_ block: (address: UnsafeMutableRawPointer, size: Int, mark: UInt8)) -> Bool {
      (0..<block.size).allSatisfy { block.address.load(fromByteOffset: $0, as: UInt8.self) == block.mark }
    }
    for round in 0..<2000 {
      if live.count < 40, random.below(5) < 3 {
        let size = Arena.rounded(random.below(3000))
        let block = (address: arena.take(size)!, size: size, mark: UInt8(truncatingIfNeeded: round))
        block.address.initializeMemory(as: UInt8.self, repeating: block.mark, count: size)
        live.append(block)
      } else if !live.isEmpty {
        let block = live.remove(at: random.below(live.count))
        #expect(check(block))
        arena.give(block.address, block.size)
      }
    }
    for block in live {
      #expect(check(block) && Int(bitPattern: block.address) % Arena.unit == 0)
      arena.give(block.address, block.size)
    }
    // Everything is one free part again.
    let whole = arena.take(1 << 16)
    #expect(arena.take(64) == whole.map { $0 + (1 << 16) })
  }

  @Test func `free memory goes back to the system and can be used again`() {
    var arena = Arena()
    let (block, behind) = (arena.take(64 * ArenaTests.page)!, arena.take(ArenaTests.page)!)
    block.initializeMemory(as: UInt8.self, repeating: 7, count: 64 * ArenaTests.page)
    behind.initializeMemory(as: UInt8.self, repeating: 8, count: ArenaTests.page)
    arena.give(block, 64 * ArenaTests.page)
    arena.trim()
    let again = arena.take(64 * ArenaTests.page)!
    #expect(again == block)
    // What the system has taken back it returns as zeros; the neighbour is as it was.
    #expect(again.load(fromByteOffset: 32 * ArenaTests.page, as: UInt8.self) == 0)
    #expect(behind.load(as: UInt8.self) == 8)
  }

  @Test func `a block that no memory is left for is refused`() {
    var arena = Arena()
    #expect(arena.take(1 << 60) == nil)
    #expect(arena.take(64) != nil)
  }
}
