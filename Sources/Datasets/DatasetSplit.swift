import Platform

/// One split of a data set: the files that have its rows, in order, and which share of their rows is in it.
public struct DatasetSplit: Sendable, Equatable, ExpressibleByStringLiteral {
  /// At least one; a split of several files (shards) has their rows one file after the other.
  public var paths: [String]
  /// Which of the rows; nil: all.
  public var share: RowShare?

  /// The rows of all files, or a share of them.
  public init(_ paths: [String], share: RowShare? = nil) {
    self.paths = paths
    self.share = share
  }

  /// The rows of one file.
  public init(_ path: String) { self.init([path]) }

  /// The rows of one file.
  public init(stringLiteral path: String) { self.init([path]) }

  /// What messages call the split: its file, or the first one and how many more there are.
  public var name: String {
    let first = (paths.first ?? "no file") + (share?.isHeldOut == true ? " (held-out rows)" : "")
    switch paths.count {
    case ...1: return first
    case 2: return "\(first) and 1 more file"
    default: return "\(first) and \(paths.count - 1) more files"
    }
  }
}

/// A part of the rows of a data set that is held out from the others, or those others.
///
/// Rows are ordered by a hash of their content and the seed, and the first `share` of them is held out: the same rows
/// on any number of ranks, and two equal rows always on one side.
public struct RowShare: Sendable, Equatable {
  /// Between 0 and 1: the part of the rows that is held out.
  public var share: Double
  /// Another seed holds other rows out.
  public var seed: UInt64
  /// Whether this is the part that is held out, or what remains.
  public var isHeldOut: Bool

  /// One side of a division.
  public init(_ share: Double, seed: UInt64, isHeldOut: Bool) {
    self.share = share
    self.seed = seed
    self.isHeldOut = isHeldOut
  }

  /// What decides which rows are meant, for digests.
  var text: String { "\(share) \(seed) \(isHeldOut ? "held out" : "the others")" }

  /// Whether each of some rows is on this side; throws `.input` where one side would have none.
  ///
  /// - Parameter hashes: of the content of each row, in order.
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
