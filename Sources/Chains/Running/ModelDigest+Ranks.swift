import Collectives
import Models
import Platform

extension ModelDigest {
  /// The digest of a model's files, which must be equal on all ranks; collective.
  ///
  /// Ranks that see the same files divide them, so each file is read once for any number of ranks. Throws `.input` for
  /// unreadable files, `.preflight` if ranks see different content.
  static func of(directory: String, on communicator: any Communicator) throws -> String {
    let (files, identity) = try communicator.agree { () -> ([String], String) in
      let files = try ModelDigest.files(of: directory)
      return (files, Digest.of(try files.map(fileIdentity).joined(separator: "\n")))
    }
    let first = try communicator.allGather(text: identity).firstIndex(of: identity) ?? communicator.rank
    let group = try communicator.split(color: first, key: communicator.rank)
    let own = stride(from: group.rank, to: files.count, by: group.size)
    let read = try communicator.agree {
      try own.map { index in
        try StopRequest.refuse("while \(files[index]) was read")
        return try Digest.ofFile(files[index])
      }
    }
    let digests = try group.allGather(text: read.joined(separator: " ")).map { $0.split(separator: " ") }
    let digest = of(files.indices.map { String(digests[$0 % group.size][$0 / group.size]) })
    try communicator.requireEqual(digest, label: "the model in \(directory)")
    return digest
  }
}
