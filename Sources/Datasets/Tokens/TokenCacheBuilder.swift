import Collectives
import Platform

#if canImport(Glibc)
  import Glibc
#endif

/// Makes a token file on all ranks together, unless every node has it already.
///
/// Rows go in chunks: each rank tokenises its slice of a chunk, the slices are gathered, and the first rank of each
/// node appends them to a temporary file that gets its name at the end. Two runs that build the same file at once
/// both succeed, and the last rename wins with the same bytes. Where a node cannot write, its ranks keep the image of
/// the file in memory.
///
/// A file that is there already is held against its checksums when it is mapped, a share of its pages by each rank of
/// the node. A damaged one is made anew beside it and renamed over it: who has mapped the old one keeps it.
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
  private let root: String?
  private let limit: Int
  private let threads: Int
  private let communicator: any Communicator
  private let node: any Communicator
  private var folder: KeyedFolder?
  /// What the user should know, on the first rank of the node concerned.
  private(set) var notes: [String] = []

  /// - Parameters:
  ///   - root: the folder of the keys of all token files; nil: tokens stay in memory.
  ///   - limit: bytes of everything kept, signals and weights too.
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

  /// The token file, from the cache or newly made. Collective; all ranks throw the same error.
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
    if part == .memory { writer = try TokenFileWriter(key: key, path: nil) }
    var image: [UInt8]?
    if try communicator.any(part != .ready) {
      do { image = try build(writer) } catch {
        // With the writer its temporary file goes.
        writer = nil
        folder?.discardIfEmpty()
        throw error
      }
      // A disk that filled up while the file was written: once more, for the nodes that have nothing yet.
      let finished = try shared(node.isFirst && part == .file && writeFailure != nil ? .memory : part)
      if try communicator.any(finished != part) {
        writer = finished != part ? try TokenFileWriter(key: key, path: nil) : nil
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

  /// Takes the folder of the key; without one the tokens stay in memory.
  private func hold() {
    guard let root else { return }
    do { folder = try KeyedFolder(root: root, key: key, about: reader.file.path) } catch { note(error) }
  }

  /// The file that is there, with every page looked at by one rank of the node; nil on all of them where it is missing
  /// or damaged. Collective over the node, of whose ranks the first says so.
  private func verified() throws -> TokenFile? {
    let file = path.flatMap { TokenFile(path: $0, key: key, in: folder) }
    // Ranks that have mapped different files, between which a rename came, look at all of their own.
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

  /// Removes what was not used for longest until everything kept is within the limit. A file that alone is above it is
  /// used by this run, which has mapped it, and not kept. Collective over the node.
  private func keepLimit(_ file: TokenFile?) throws {
    // All ranks have mapped the file.
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

  /// The part that the node's first rank chose, on all ranks of the node.
  private func shared(_ part: Part) throws -> Part {
    Part(rawValue: try node.broadcast(part.rawValue)) ?? .memory
  }

  /// Starts a new file.
  private func start(_ writer: inout TokenFileWriter?) {
    guard let path else { return }
    do { writer = try TokenFileWriter(key: key, path: path) } catch { note(error) }
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
