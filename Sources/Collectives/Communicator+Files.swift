import Platform

#if canImport(Glibc)
  import Glibc
#endif

extension Communicator {
  /// Throws `.preflight` if a file is not the same on all ranks, before anything depends on its content; collective.
  ///
  /// It compares size and CRC32C. Ranks of one node that see the same file read it once; a rank that sees another file,
  /// through its own mount, reads that one. A file that no rank can read is left to the code that needs it.
  package func requireSameFiles(_ paths: [String]) throws {
    guard size > 1 else { return }
    let node = try splitByNode()
    var fingerprints: [Fingerprint] = []
    for path in paths {
      let own = localIdentity(path)
      let shared = try node.broadcast(text: own)
      let first = try node.broadcast(text: node.isFirst ? content(of: path) : "")
      fingerprints.append(
        Fingerprint(
          "the content of \(path)", own == shared ? first : content(of: path),
          remedy: "give every host the same file, or use a shared directory"))
    }
    try requireEqual(fingerprints)
  }

  /// Identifies a file on this machine.
  private func localIdentity(_ path: String) -> String {
    var info = stat()
    guard stat(path, &info) == 0 else { return "missing" }
    return "\(info.st_dev) \(info.st_ino) \(info.st_size) \(info.st_mtim.tv_sec).\(info.st_mtim.tv_nsec)"
  }

  private func content(of path: String) -> String {
    var info = stat()
    guard stat(path, &info) == 0 else { return "no such file" }
    // A pipe cannot be read twice; the rank that reads it broadcasts its content.
    guard (info.st_mode & S_IFMT) == S_IFREG else { return "no regular file" }
    guard let checksum = try? Checksum.ofFile(path) else { return "unreadable" }
    return "\(info.st_size) bytes, checksum \(String(checksum.value, radix: 16))"
  }
}
