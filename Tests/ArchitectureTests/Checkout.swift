import Foundation
import TestSupport

/// The source files of the checkout, as text.
enum Checkout {
  /// The package's root; `RETORT_ROOT` names another one.
  static let root = ProcessInfo.processInfo.environment["RETORT_ROOT"] ?? Shared.packageRoot

  /// One file: its path relative to the root, and its lines.
  struct File {
    let path: String
    let lines: [String]

    init(path: String, text: String) {
      self.path = path
      var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
      if lines.last == "" { lines.removeLast() }
      self.lines = lines
    }
  }

  /// The files below a directory of the root with one of the extensions, sorted by path.
  static func files(below directory: String, extensions: Set<String>) throws -> [File] {
    var found: [File] = []
    // A directory at a time: the target directories may be links, which a recursive enumerator would not enter.
    var waiting = [directory]
    while let current = waiting.popLast() {
      for name in try FileManager.default.contentsOfDirectory(atPath: root + "/" + current) {
        let path = current + "/" + name
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: root + "/" + path, isDirectory: &isDirectory) else { continue }
        if isDirectory.boolValue {
          waiting.append(path)
        } else if extensions.contains((name as NSString).pathExtension) {
          found.append(File(path: path, text: try String(contentsOfFile: root + "/" + path, encoding: .utf8)))
        }
      }
    }
    return found.sorted { $0.path < $1.path }
  }
}
