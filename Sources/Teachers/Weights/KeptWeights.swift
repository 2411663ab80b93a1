import Datasets
import Models
import Platform
import Tensors

#if canImport(Glibc)
  import Glibc
#endif

/// The weights of frozen teachers in files that all ranks and runs of a machine share: converted once, mapped by all.
///
/// Not collective: a rank waits only for a file lock, which the system releases if its holder dies. So a rank may load
/// the weights when it needs them, or never.
package final class KeptWeights {
  private let folder: KeyedFolder
  private let key: String
  private let limit: Int

  /// Opens the folder of a key among the folders of all teachers' files.
  ///
  /// - Parameters:
  ///   - root: the folder of all keys.
  ///   - key: see `key(teacher:labels:form:)`.
  ///   - limit: the most bytes of all keys under the root.
  ///   - about: the teacher's name, for people.
  /// Throws `.checkpoint` with the system's reason if the folder cannot be created.
  package init(root: String, key: String, limit: Int, about: String? = nil) throws {
    folder = try KeyedFolder(root: root, key: key, about: about)
    self.key = key
    self.limit = limit
  }

  /// The key of a block of weights, 64 hexadecimal digits: a digest of everything that determines its bytes.
  ///
  /// - Parameters:
  ///   - teacher: the digest of its configuration and weights.
  ///   - labels: the classes in the order of its logits.
  ///   - form: the `form` of its `FrozenModel`, which depends on precision and CPU.
  package static func key(teacher: String, labels: [String], form: String) -> String {
    let digest = Digest()
    for part in ["retort teacher weights", teacher, form] { digest.update(part) }
    digest.update(UInt64(labels.count))
    labels.forEach(digest.update(_:))
    return digest.finish()
  }

  /// Maps the weights, after converting them if no process has done so; if they cannot be kept in a file, fills memory
  /// of this process.
  ///
  /// - Returns: why they cannot be kept; nil if they are.
  package func load(_ frozen: FrozenModel) -> String? {
    do {
      try loadShared(frozen)
      return nil
    } catch {
      frozen.fill(Storage(untouchedZeros: frozen.byteCount))
      return "each rank holds its own copy of the teacher's weights: \(RetortError.wrap(error).description)"
    }
  }

  private func loadShared(_ frozen: FrozenModel) throws {
    let path = joinPath(folder.path, "weights")
    let bytes = frozen.byteCount
    if let block = WeightFile.map(path, key: key, bytes: bytes) { return frozen.adopt(block) }
    guard bytes + WeightFile.headerBytes <= limit else {
      throw RetortError(
        .checkpoint, "they are \(grouped(bytes)) bytes, and teacher.cache_limit is \(grouped(limit))", at: path)
    }
    folder.makeRoom(for: bytes + WeightFile.headerBytes, limit: limit)
    let turn = open(joinPath(folder.path, "converting"), O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
    defer { if turn >= 0 { close(turn) } }
    // One rank converts and the others map its file. Without locks each converts, and the last file stays.
    Activity.waitingOutside { while turn >= 0, flock(turn, LOCK_EX) != 0, errno == EINTR {} }
    if let block = WeightFile.map(path, key: key, bytes: bytes) { return frozen.adopt(block) }
    _ = try WeightFile.make(path, key: key, bytes: bytes, frozen.fill)
  }
}
