import Datasets
import Platform

extension KeyedFolder {
  private static let suffix = ".sig"

  /// A random name for a new segment.
  static func segmentName() -> String {
    String(UInt64.random(in: 0 ... .max), radix: 36) + String(UInt64.random(in: 0 ... .max), radix: 36) + suffix
  }

  /// The names of the published segments, sorted.
  func segments() -> [String] { ((try? listDirectory(path)) ?? []).filter { $0.hasSuffix(KeyedFolder.suffix) } }
}
