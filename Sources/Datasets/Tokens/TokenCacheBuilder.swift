import Collectives
import Platform

#if canImport(Glibc)
  import Glibc
#endif

/// Builds a token file on all ranks together, unless every node already has it.
///
/// Rows are processed in chunks: each rank tokenises its slice of a chunk, the slices are gathered, and the first rank
/// of each node appends them to a temporary file, which is renamed when it is complete. Two runs that build the same
/// file at the same time both succeed: the last rename wins, with the same bytes. On a node that cannot write, each
/// rank keeps the image of the file in memory.
///
/// An existing file is checked against its checksums when it is mapped; each rank of the node checks a share of the
/// pages. A damaged file is rebuilt under a temporary name and renamed over the old one; processes that have mapped
/// the old file keep it.
final class TokenCacheBuilder {
  /// The role of a rank for the gathered rows.
  private enum Part: Int {
    /// The node has the file.
    case ready
    /// The node's first rank writes the file.
    case file
    /// The rank keeps the rows in memory.
    case memory
  }

  private static let chunkRows = 65_536
  private static let chunkBytes = 32 << 20

  private let reader: ExampleReader
  private let key: String
  private let root: String?
  private let limit: Int
  private let threads: Int
  private let communicator: any Communicator
  private let node: any Communicator
  private var folder: KeyedFolder?
  /// Remarks for the user, on the first rank of the node they concern.
  private(set) var notes: [String] = []

  /// - Parameters:
  ///   - root: the folder with the keys of all token files; nil: tokens stay in memory.
  ///   - limit: maximum bytes of the whole cache, teacher signals and weights included.
  init(
    reader: ExampleReader, key: String, root: String?, limit: Int, threads: Int, communicator: any Communicator,
    node: any Communicator
  ) {
    self.reader = reader
    self.key = key
    self.root = root
    self.limit = limit
    self.threads = threads
    self.communicator = communicator
    self.node = node
  }

  private var path: String? { folder.map { joinPath($0.path, "tokens") } }

  private func makeWriter(path: String?) throws -> TokenFileWriter {
    try TokenFileWriter(key: key, targets: reader.targets, window: reader.windows?.length ?? 0, path: path)
  }

  /// Opens the token file, from the cache or newly built. Collective; all ranks throw the same error.
  func open() throws -> TokenFile {
    if node.isFirst { hold() }
    var part = try shared(node.isFirst ? (folder == nil ? .memory : .ready) : .ready)
    if !node.isFirst, part == .ready { hold() }
    var found: TokenFile?
    if part == .ready {
      found = try verified()
      if found == nil { part = .file }
    }
    var writer: TokenFileWriter?
    if part == .file, node.isFirst { start(&writer) }
    part = try shared(part == .file && node.isFirst && writer == nil ? .memory : part)
    if part == .memory { writer = try makeWriter(path: nil) }
    var image: [UInt8]?
    if try communicator.any(part != .ready) {
      do { image = try build(writer) } catch {
        // Releasing the writer removes its temporary file.
        writer = nil
        folder?.discardIfEmpty()
        throw error
      }
      // If the disk filled up during the write, a second pass serves the nodes that have nothing yet.
      let finished = try shared(node.isFirst && part == .file && writeFailure != nil ? .memory : part)
      if try communicator.any(finished != part) {
        writer = finished != part ? try makeWriter(path: nil) : nil
        let second = try build(writer)
        if finished != part { image = second }
        part = finished
      }
    }
    if found == nil, image == nil { found = try verified() }
    try keepLimit(found)
    return try communicator.agree {
      if let image { return TokenFile(image: image) }
      if let found { return found }
      throw RetortError(
        .input, "the token cache cannot be read back as it was written", at: path ?? "",
        remedy: "check the disk, and that nothing removes files there, or set RETORT_CACHE to another directory")
    }
  }

  /// Holds the folder of the key; without it tokens stay in memory.
  private func hold() {
    guard let root else { return }
    do { folder = try KeyedFolder(root: root, key: key, about: reader.file.path) } catch { note(error) }
  }

  /// The existing file, each page checked by one rank of the node; nil on all its ranks if the file is missing or
  /// damaged. Collective over the node; the first rank adds a note about damage.
  private func verified() throws -> TokenFile? {
    let file = path.flatMap { TokenFile(path: $0, key: key, in: folder) }
    // Ranks that mapped different files, because of a rename in between, check all pages of their own file.
    let first = try node.broadcast(text: file?.inode ?? "")
    let sharesPages = try node.all(file?.inode == first)
    let (part, parts) = sharesPages ? (node.rank, node.size) : (0, 1)
    let isWhole = try node.all(file.map { $0.isWhole(part: part, of: parts) && $0.isConsistent } ?? false)
    if isWhole { return file }
    if node.isFirst, let path, fileExists(path), !isDirectory(path), writeFailure == nil {
      notes.append("the token cache of \(reader.file.path) was damaged and is rebuilt")
    }
    return nil
  }

  /// Removes the least recently used keys until the cache is within the limit. A file that exceeds the limit by itself
  /// is unlinked: this run uses its mapping, later runs do not find it. Collective over the node.
  private func keepLimit(_ file: TokenFile?) throws {
    // After the barrier all ranks have mapped the file.
    try node.barrier()
    guard node.isFirst, let file, let folder, let path else { return }
    if file.header.fileBytes > limit {
      unlink(path)
      notes.append(
        "the tokens of \(reader.file.path) are \(grouped(file.header.fileBytes)) bytes, more than cache_limit "
          + "(\(grouped(limit))): they are not kept for other runs")
    }
    folder.makeRoom(for: 0, limit: limit)
  }

  private var writeFailure: (any Error)?

  /// The part chosen by the node's first rank, on all ranks of the node.
  private func shared(_ part: Part) throws -> Part {
    Part(rawValue: try node.broadcast(part.rawValue)) ?? .memory
  }

  /// Starts a new file; leaves `writer` nil if the file cannot be created.
  private func start(_ writer: inout TokenFileWriter?) {
    guard let path else { return }
    do { writer = try makeWriter(path: path) } catch { note(error) }
  }

  private func note(_ error: any Error) {
    notes.append("tokens are kept in memory, since their cache cannot be written: \(RetortError.wrap(error))")
  }

  /// Tokenises the whole file once; returns the image if the writer has one.
  ///
  /// A write error is kept in `writeFailure`, and the rank continues to take part in the collective calls.
  private func build(_ writer: TokenFileWriter?) throws -> [UInt8]? {
    var writer = writer
    var row = 0
    while row < reader.file.count {
      try communicator.requireNoStop("while the data was read; nothing has been trained")
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

  /// The tokenised rows of a chunk in file order, one array of words per rank.
  private func gather(_ chunk: Range<Int>) throws -> [[Int32]] {
    let own = slice(chunk, part: communicator.rank, of: communicator.size)
    let (parts, failure) = reader.read(own, threads: threads)
    let firstBad = try communicator.allReduce(failure?.row ?? .max, .min)
    if firstBad < .max {
      // Every rank reads the refused row, so that all throw the same error and no rank seems to be at fault.
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
