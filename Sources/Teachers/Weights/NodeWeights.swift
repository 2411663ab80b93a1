import CSystem
import Collectives
import Models
import Platform
import Tensors

#if canImport(Glibc)
  import Glibc
#endif

/// The weights of a frozen teacher in anonymous memory that the ranks of a node share.
///
/// One rank of the node fills a memfd; the others map it through that rank's descriptor. The system frees it however
/// the ranks end.
package enum NodeWeights {
  /// Fills the model on every rank; collective.
  ///
  /// - Returns: why this rank holds its own copy of the weights; nil if it shares them or is alone on its node.
  package static func load(_ frozen: FrozenModel, on communicator: any Communicator) throws -> String? {
    let node = try communicator.splitByNode()
    var memory = Anonymous()
    let key = try node.broadcast(text: node.isFirst ? Digest.of("\(UInt64.random(in: 0 ... .max))") : "")
    if node.size > 1, node.isFirst { memory = Anonymous(frozen, key: key) }
    let path = try node.broadcast(text: memory.path)
    var isThere = memory.isFilled
    if !node.isFirst, !path.isEmpty,
      let block = WeightFile.map(path, key: key, bytes: frozen.byteCount, verifying: false)
    {
      frozen.adopt(block)
      isThere = true
    }
    // The first rank's descriptor stays open until all ranks have mapped it.
    try node.barrier()
    memory.close()
    if isThere { return nil }
    frozen.fill(Storage(untouchedZeros: frozen.byteCount))
    return node.size == 1
      ? nil
      : "each rank on \(communicator.hostName) holds its own copy of the teacher's weights: the system provides no "
        + "memory that they can share"
  }

  /// Memory that is accessible only through a descriptor.
  private struct Anonymous {
    private var descriptor: Int32 = -1
    private(set) var isFilled = false

    init() {}

    init(_ frozen: FrozenModel, key: String) {
      descriptor = rts_create_memory("retort-teacher", 0)
      guard descriptor >= 0 else { return }
      let made = try? WeightFile.make(
        descriptor, key: key, bytes: frozen.byteCount, reserving: false, at: "shared memory", frozen.fill)
      isFilled = made != nil
    }

    /// The path through which other processes of the node open it; empty without memory.
    var path: String { isFilled ? "/proc/\(getpid())/fd/\(descriptor)" : "" }

    func close() { if descriptor >= 0 { Glibc.close(descriptor) } }
  }
}
