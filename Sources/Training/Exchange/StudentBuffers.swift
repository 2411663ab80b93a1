import Collectives
import Platform
import Tensors

/// Memory for a student on the ranks of a node: what they share, and what each writes and the others read.
final class StudentBuffers {
  /// Thrown on all ranks if the ranks of some node cannot map the same memory.
  struct NotShared: Error {}

  /// The ranks.
  let grid: RankGrid
  private var maps: [(storage: Storage, memory: NodeMemory)] = []

  init(_ grid: RankGrid) { self.grid = grid }

  /// Zeros that all ranks of the node read and write; collective.
  func shared(_ shape: Shape, _ dtype: DType = .float32) throws -> Tensor {
    let storage = try map(bytes: shape.count * dtype.size)
    return Tensor(storage: storage, byteOffset: 0, shape: shape, dtype: dtype)
  }

  /// A buffer of zeros for each rank, which the other ranks of the node read; collective.
  func ofEachRank(_ floats: Int) throws -> RankBuffers {
    // Whole cache lines, so that every buffer starts on one.
    let stride = (floats + 15) / 16 * 16
    let storage = try map(bytes: 4 * stride * grid.node.size)
    return RankBuffers(storage: storage, stride: stride, rank: grid.node.rank, size: grid.node.size, count: floats)
  }

  private func map(bytes: Int) throws -> Storage {
    let memory = try NodeMemory.make(bytes: bytes, on: grid.node.ranks)
    guard try grid.ordered.all(memory != nil), let memory else {
      // A rank alone has nothing to share, so there is no other way.
      if grid.node.size == 1, memory == nil { OutOfMemory.end(bytes: bytes, for: "a student's weights and gradients") }
      throw NotShared()
    }
    let storage = Storage(borrowing: memory.base, bytes: memory.bytes, owner: memory)
    maps.append((storage, memory))
    return storage
  }

  /// Puts a tensor of this memory into huge pages where the system has them: some per cent of the time of long loops.
  func useHugePages(for tensor: Tensor) {
    guard let map = maps.first(where: { $0.storage === tensor.storage }) else { return }
    map.memory.useHugePages(tensor.byteOffset..<tensor.byteOffset + tensor.count * tensor.dtype.size)
  }
}

/// A buffer of each rank of a node.
struct RankBuffers {
  fileprivate let storage: Storage
  /// Elements from one rank's buffer to the next one's.
  let stride: Int
  fileprivate let rank: Int
  let size: Int
  /// Elements of a buffer.
  let count: Int

  /// This rank's buffer.
  var own: Tensor { tensor(of: rank) }

  /// The buffer of a rank of the node.
  func tensor(of rank: Int) -> Tensor {
    Tensor(storage: storage, byteOffset: 4 * rank * stride, shape: [count])
  }
}
