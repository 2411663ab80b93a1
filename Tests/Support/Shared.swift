import Foundation

/// Finds reference figures and real data that stand beside the checkout, in `../shared` or where `RETORT_SHARED` says.
package enum Shared {
  /// The package's root directory.
  package static let packageRoot: String = {
    // This file is Tests/Support/Shared.swift; symbolic links are kept as they are written.
    var url = URL(fileURLWithPath: #filePath)
    for _ in 0..<3 { url.deleteLastPathComponent() }
    return url.path
  }()

  /// The directory of shared material, if it is here.
  package static let root: String? = {
    let candidates = [
      ProcessInfo.processInfo.environment["RETORT_SHARED"], packageRoot + "/../shared",
    ]
    return candidates.compactMap { $0 }.first { FileManager.default.fileExists(atPath: $0 + "/parity/reference") }
  }()

  package static var available: Bool { root != nil }

  /// The path of an item in the shared directory, or nil when it is not here.
  package static func path(_ name: String) -> String? {
    guard let root else { return nil }
    let path = root + "/" + name
    return FileManager.default.fileExists(atPath: path) ? path : nil
  }

  /// The path of a directory that does not exist: under a name of its own, since any fixed one may have been made by
  /// somebody on the machine that runs the tests.
  package static let nowhere: String = NSTemporaryDirectory() + "/retort-nowhere-\(UUID().uuidString)"

  /// A new empty directory that the test should remove.
  package static func temporaryDirectory(_ name: String = "test") throws -> String {
    let path = NSTemporaryDirectory() + "/retort-\(name)-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
  }
}
