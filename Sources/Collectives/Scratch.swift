/// Memory for exchanges in flight; a block returns to the pool with the last reference to its lease.
///
/// Sizes repeat from step to step, so in steady state every block comes from the free list.
final class ScratchPool {
  private var free: [UnsafeMutableRawBufferPointer] = []
  /// The number of blocks allocated since the start.
  private(set) var allocations = 0

  func lease(bytes: Int) -> Lease {
    var best: Int?
    // A block more than twice as large as requested stays free for larger requests.
    for (index, block) in free.enumerated()
    where block.count >= bytes && block.count / 2 <= max(bytes, ScratchPool.granularity) {
      if best.map({ free[$0].count > block.count }) ?? true { best = index }
    }
    if let best { return Lease(free.remove(at: best), self) }
    allocations += 1
    let rounded = (bytes + ScratchPool.granularity - 1) / ScratchPool.granularity * ScratchPool.granularity
    return Lease(.allocate(byteCount: max(rounded, ScratchPool.granularity), alignment: 64), self)
  }

  deinit {
    for block in free { block.deallocate() }
  }

  private static let granularity = 64 << 10

  /// One block in use.
  final class Lease {
    let memory: UnsafeMutableRawBufferPointer
    private let pool: ScratchPool

    fileprivate init(_ memory: UnsafeMutableRawBufferPointer, _ pool: ScratchPool) {
      self.memory = memory
      self.pool = pool
    }

    func bind<T>(to type: T.Type) -> UnsafeMutablePointer<T> {
      memory.baseAddress!.bindMemory(to: type, capacity: memory.count / MemoryLayout<T>.stride)
    }

    deinit { pool.free.append(memory) }
  }
}
