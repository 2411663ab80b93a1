import Platform

/// A kind of file that Retort reads: examples of it, and the reader that is fed with damaged ones.
struct Kind {
  let name: String
  /// Whole files, to be damaged.
  let seeds: [[UInt8]]
  /// Bytes that a reader may have beyond what the process had, whatever is in the file.
  var memory = 64 << 20
  /// One input of this kind is read where so many are asked for: some readers are slow.
  var slowness = 1
  /// Files that stand beside it.
  var beside: [(name: String, content: [UInt8])] = []
  /// Makes the checksums of every other damaged file right, so that what stands behind them is reached.
  var seal: ((inout [UInt8]) -> Void)?
  /// The file's name in the folder.
  let file: String
  /// Reads the file; throws what the reader throws, and `Wrong` for a value that it may not give.
  let read: (_ path: String, _ folder: String) throws -> Void
}

/// A reader gave something else than what had been written, without a word.
struct Wrong: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}

enum Kinds {
  /// A text of half a megabyte that is one document becomes as many pieces, of some words of memory each.
  static let ofLongTexts = 256 << 20

  /// All kinds, or those of these names. Seeds that Retort itself writes are made in `scratch`.
  static func all(named names: [String]?, scratch: String) throws -> [Kind] {
    var kinds = tokenizers() + models() + weights() + chains() + data()
    // Those take a moment to make.
    let makers: [(prefix: String, make: (String) throws -> [Kind])] = [
      ("cache/", caches), ("training/", training), ("output/", outputs), ("model/", wholeModels),
    ]
    for (prefix, make) in makers where names?.contains(where: { $0.hasPrefix(prefix) }) ?? true {
      kinds += try make(joinPath(scratch, prefix))
    }
    guard let names else { return kinds }
    return kinds.filter { names.contains($0.name) }
  }
}
