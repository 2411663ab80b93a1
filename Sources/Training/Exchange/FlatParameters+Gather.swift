import Collectives
import Tensors

extension FlatParameters {
  /// Gathers the blocks of all other ranks in a whole buffer; collective.
  func gatherBlocks(of buffer: Tensor, for purpose: Traffic.Purpose, on communicator: any Communicator) throws {
    guard communicator.size > 1 else { return }
    let operations = try buckets.map { bucket in
      try Traffic.counting(purpose) {
        try communicator.iAllGather(
          UnsafeMutableBufferPointer(start: buffer.floats + bucket.lowerBound, count: bucket.count),
          keeping: buffer.storage)
      }
    }
    try operations.waitAll()
  }
}
