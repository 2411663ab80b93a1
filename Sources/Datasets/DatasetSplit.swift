import Platform

/// One split of a data set: the files with its rows, in order, and the share of these rows that belongs to it.
package struct DatasetSplit: Sendable, Equatable, ExpressibleByStringLiteral {
  /// At least one path; a split of several files (shards) has their rows in file order.
  package var paths: [String]
  /// The share of the rows; nil: all rows.
  package var share: RowShare?

  /// All rows of the files, or a share of them.
  package init(_ paths: [String], share: RowShare? = nil) {
    self.paths = paths
    self.share = share
  }

  /// The rows of one file.
  package init(_ path: String) { self.init([path]) }

  /// The rows of one file.
  package init(stringLiteral path: String) { self.init([path]) }

  /// The name of the split in messages: its file, or the first file and the number of further files.
  package var name: String {
    let first = (paths.first ?? "no file") + (share?.isHeldOut == true ? " (held-out rows)" : "")
    switch paths.count {
    case ...1: return first
    case 2: return "\(first) and 1 more file"
    default: return "\(first) and \(paths.count - 1) more files"
    }
  }
}

/// The held-out part of a data set's rows, or the remaining part.
///
/// Rows are ordered by a hash of their content and the seed, and the first `share` of them are held out: the same rows
/// for any number of ranks. Equal rows are always in the same part.
package struct RowShare: Sendable, Equatable {
  /// The fraction of the rows that is held out, between 0 and 1.
  package var share: Double
  /// The seed of the hash; another seed holds out other rows.
  package var seed: UInt64
  /// Whether this is the held-out part or the remaining part.
  package var isHeldOut: Bool

  /// One part of a division.
  package init(_ share: Double, seed: UInt64, isHeldOut: Bool) {
    self.share = share
    self.seed = seed
    self.isHeldOut = isHeldOut
  }

  /// The values that determine the rows, as text for digests.
  var text: String { "\(share) \(seed) \(isHeldOut ? "held out" : "the others")" }

  /// Whether each row belongs to this part; throws `.input` if one part would be empty.
  ///
  /// - Parameter hashes: the hash of each row's content, in order.
  func rows(_ hashes: [UInt64], of name: String) throws -> [Bool] {
    let count = hashes.count
    let ordered = (0..<count).sorted { (hashes[$0], $0) < (hashes[$1], $1) }
    var held = max(1, min(count - 1, Int((share * Double(count)).rounded())))
    while held > 0, held < count, hashes[ordered[held]] == hashes[ordered[held - 1]] { held += 1 }
    if count < 2 || held >= count {
      throw RetortError(
        .input, "\(count == 1 ? "its one row" : "its \(count) rows") cannot be divided into training and validation",
        at: name, remedy: "give at least two rows that differ, or a validation file")
    }
    var marks = [Bool](repeating: !isHeldOut, count: count)
    for row in ordered[..<held] { marks[row] = isHeldOut }
    return marks
  }
}
