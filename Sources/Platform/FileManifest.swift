import Foundation

/// The files of a directory with their sizes and checksums: detects a damaged directory.
///
/// It is stored as `manifest.json` beside the files that it lists, with the owner's `facts` and a checksum of itself.
/// CRC32C detects accidents, not attacks.
package struct FileManifest: Equatable, Sendable {
  /// The name of the file that holds a manifest.
  package static let fileName = "manifest.json"

  /// A file's size and checksum.
  package struct Entry: Equatable, Sendable {
    /// Bytes of the file.
    package var bytes: Int
    /// CRC32C of its content.
    package var checksum: UInt32
  }

  /// The entries by file name.
  package private(set) var files: [String: Entry]
  /// Values that the owner stores with the directory, such as its plan and step.
  package var facts: [String: JSON]

  /// Lists `names` in a directory as they are now; `known` entries are taken as given. Throws `.input` if a file
  /// cannot be read.
  package init(
    of directory: String, _ names: [String], known: [String: Entry] = [:], facts: [String: JSON] = [:]
  ) throws {
    self.facts = facts
    files = known
    for name in names where known[name] == nil {
      let path = joinPath(directory, name)
      let size = try MappedFile(path).bytes.count
      files[name] = Entry(bytes: size, checksum: try Checksum.ofFile(path).value)
    }
  }

  /// Reads the manifest of a directory. Throws `.checkpoint` if it is missing, truncated or changed.
  package init(readingFrom directory: String) throws {
    let path = joinPath(directory, FileManifest.fileName)
    guard fileExists(path) else { throw RetortError(.checkpoint, "it has no \(FileManifest.fileName)") }
    func damaged() -> RetortError { RetortError(.checkpoint, "its \(FileManifest.fileName) is damaged") }
    guard let json = try? JSON(contentsOf: path), case .object(var members) = json,
      let own = members.removeValue(forKey: "checksum")?.int, let listed = members["files"]?.object,
      let facts = members["facts"]?.object, own == Int(FileManifest.checksum(of: .object(members)))
    else { throw damaged() }
    self.facts = facts
    files = [:]
    for (name, entry) in listed {
      guard let bytes = entry["bytes"]?.int, bytes >= 0,
        let checksum = entry["crc32c"]?.int.flatMap({ UInt32(exactly: $0) })
      else { throw damaged() }
      files[name] = Entry(bytes: bytes, checksum: checksum)
    }
  }

  /// The content of `manifest.json`.
  package var json: JSON {
    var members: [String: JSON] = [
      "facts": .object(facts),
      "files": .object(files.mapValues { ["bytes": .int($0.bytes), "crc32c": .int(Int($0.checksum))] }),
    ]
    members["checksum"] = .int(Int(FileManifest.checksum(of: .object(members))))
    return .object(members)
  }

  /// Writes `manifest.json` into a directory; throws `.checkpoint`.
  package func write(to directory: String) throws {
    try writeFileAtomically(joinPath(directory, FileManifest.fileName), json.text(indent: 2) + "\n")
  }

  /// The first fault among the listed files, by name, as a phrase; nil if all files are as listed.
  package func firstFault(in directory: String) -> String? {
    for (name, entry) in files.sorted(by: { $0.key < $1.key }) {
      let path = joinPath(directory, name)
      guard fileExists(path) else { return "\(name) is missing" }
      guard let file = try? MappedFile(path) else { return "\(name) cannot be read" }
      if file.bytes.count != entry.bytes { return "\(name) has \(file.bytes.count) bytes instead of \(entry.bytes)" }
      guard let checksum = try? Checksum.ofFile(path) else { return "\(name) cannot be read" }
      if checksum.value != entry.checksum { return "the checksum of \(name) is not the one that was written" }
    }
    return nil
  }

  private static func checksum(of json: JSON) -> UInt32 {
    Array(json.text().utf8).withUnsafeBytes { Checksum(of: $0).value }
  }
}
