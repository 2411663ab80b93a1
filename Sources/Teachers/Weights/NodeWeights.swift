import Collectives
import Models
import Platform
import Tensors

#if canImport(Glibc)
  import Glibc
#endif

/// The weights of a frozen teacher in memory that the ranks of a node share, and that is gone with them.
///
/// One rank of the node fills memory without a name; the others map it through that rank's open file. Nothing is left
/// behind however the ranks end.
public enum NodeWeights {
  /// Fills the model on every rank; collective.
  ///
  /// - Returns: why this rank holds the weights in memory of its own, where it had to; nil mostly.
  public static func load(_ frozen: FrozenModel, on communicator: any Communicator) throws -> String? {
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
    // The file of the first rank stays open until all have mapped it.
    try node.barrier()
    memory.close()
    if isThere { return nil }
    frozen.fill(Storage(untouchedZeros: frozen.byteCount))
    return node.size == 1
      ? nil
      : "each rank on \(communicator.hostName) holds the teacher's weights in memory of its own: the system gave none "
        + "that they could share"
  }

  /// Memory that has no name but that of its descriptor.
  private struct Anonymous {
    private var descriptor: Int32 = -1
    private(set) var isFilled = false

    init() {}

    init(_ frozen: FrozenModel, key: String) {
      guard let create = NodeWeights.createMemory else { return }
      descriptor = create("retort-teacher", 1)  // close on exec
      guard descriptor >= 0 else { return }
      let made = try? WeightFile.make(
        descriptor, key: key, bytes: frozen.byteCount, reserving: false, at: "shared memory", frozen.fill)
      isFilled = made != nil
    }

    /// How other processes of the node open it; empty where there is nothing to open.
    var path: String { isFilled ? "/proc/\(getpid())/fd/\(descriptor)" : "" }

    func close() { if descriptor >= 0 { Glibc.close(descriptor) } }
  }

  /// `memfd_create`, found by name: the header declares it for GNU programs alone.
  private static let createMemory = dlsym(nil, "memfd_create").map {
    unsafeBitCast($0, to: (@convention(c) (UnsafePointer<CChar>, UInt32) -> Int32).self)
  }
}
