import Collectives
import Platform

/// Makes a token file on all ranks together, unless every node has it already.
///
/// Rows go in chunks: each rank tokenises its slice of a chunk, the slices are gathered, and the first rank of each
/// node appends them to a temporary file that gets its name at the end. Two runs that build the same file at once
/// both succeed, and the last rename wins with the same bytes. Where a node cannot write, its ranks keep the image of
/// the file in memory.
final class TokenCacheBuilder {
  /// What a rank does with the gathered rows.
  private enum Part: Int {
    /// Its node has the file.
    case ready
    /// Its node's first rank writes the file.
    case file
    /// It keeps the rows itself.
    case memory
  }

  private static let chunkRows = 65_536
  private static let chunkBytes = 32 << 20

  private let reader: ExampleReader
  private let key: String
  private let directory: String?
  private let threads: Int
  private let communicator: any Communicator
  private let node: any Communicator
  /// Why tokens are kept in memory, on the first rank of the node concerned.
  private(set) var notes: [String] = []

  init(
    reader: ExampleReader, key: String, directory: String?, threads: Int, communicator: any Communicator,
    node: any Communicator
  ) {
    self.reader = reader
    self.key = key
    self.directory = directory
    self.threads = threads
    self.communicator = communicator
    self.node = node
  }

  private var path: String? { directory.map { joinPath($0, "\(key).tokens") } }

  /// The token file, from the cache or newly made. Collective; all ranks throw the same error.
  func open() throws -> TokenFile {
    var writer: TokenFileWriter?
    var part = try shared(node.isFirst ? prepare(&writer) : .ready)
    if part == .memory { writer = try TokenFileWriter(key: key, path: nil) }
    var image: [UInt8]?
    if try communicator.any(part != .ready) {
      image = try build(writer)
      // A disk that filled up while the file was written: once more, for the nodes that have nothing yet.
      let finished = try shared(node.isFirst && part == .file && writeFailure != nil ? .memory : part)
      if try communicator.any(finished != part) {
        writer = finished != part ? try TokenFileWriter(key: key, path: nil) : nil
        let second = try build(writer)
        if finished != part { image = second }
        part = finished
      }
    }
    return try communicator.agree {
      if let image { return TokenFile(image: image) }
      if let path, let file = TokenFile(path: path, key: key) { return file }
      throw RetortError(
        .input, "the token cache cannot be read back", at: path ?? "",
        remedy: "check that nothing removes files there, or set RETORT_CACHE to another directory")
    }
  }

  private var writeFailure: (any Error)?

  /// The part that the node's first rank chose, on all ranks of the node.
  private func shared(_ part: Part) throws -> Part {
    Part(rawValue: try node.broadcast(part.rawValue)) ?? .memory
  }

  /// Looks for the file and starts one where it is missing.
  private func prepare(_ writer: inout TokenFileWriter?) -> Part {
    guard let directory, let path else { return .memory }
    if TokenFile(path: path, key: key) != nil { return .ready }
    do {
      try makeDirectory(directory)
      CacheDirectory.sweep(directory)
      writer = try TokenFileWriter(key: key, path: path)
      return .file
    } catch {
      note(error)
      return .memory
    }
  }

  private func note(_ error: any Error) {
    notes.append("tokens are kept in memory, since their cache cannot be written: \(RetortError.wrap(error))")
  }

  /// Tokenises the whole file once; returns the image where the writer has one.
  ///
  /// What goes wrong in writing is kept in `writeFailure`, so that this rank goes on serving its peers.
  private func build(_ writer: TokenFileWriter?) throws -> [UInt8]? {
    var writer = writer
    var row = 0
    while row < reader.file.count {
      let chunk = row..<reader.file.chunkEnd(from: row, rows: Self.chunkRows, bytes: Self.chunkBytes)
      for words in try gather(chunk) {
        guard let current = writer else { continue }
        do {
          var at = 0
          while at < words.count { try current.append(TokenRows(words, at: &at)) }
        } catch {
          fail(error)
          writer = nil
        }
      }
      row = chunk.upperBound
    }
    do { return try writer?.finish() } catch {
      fail(error)
      return nil
    }
  }

  private func fail(_ error: any Error) {
    writeFailure = error
    note(error)
  }

  /// The tokenised rows of a chunk in the order of the file, a run of words from each rank.
  private func gather(_ chunk: Range<Int>) throws -> [[Int32]] {
    let own = slice(chunk, part: communicator.rank, of: communicator.size)
    let (parts, failure) = reader.read(own, threads: threads)
    let firstBad = try communicator.allReduce(failure?.row ?? .max, .min)
    if firstBad < .max {
      // Every rank reads the row that is refused, so that all say the same and no rank seems to be at fault.
      try communicator.agree {
        var rows = TokenRows()
        try reader.read(firstBad..<(firstBad + 1), into: &rows)
        if let failure { throw failure.error }
      }
    }
    var words: [Int32] = []
    for part in parts { part.write(to: &words) }
    return try communicator.allGather(words)
  }
}
