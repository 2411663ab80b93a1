import Collectives
import Platform
import Tokenizers

extension TokenizedDataset {
  /// How a file is read.
  public struct Options: Sendable {
    /// The most tokens of an example, special ones included; nil: all.
    public var maxLength: Int?
    /// Rows of the model's embedding table; a larger id is refused. nil: not checked.
    public var vocabularySize: Int?
    /// Rows of the model's segment table; pairs of texts need two. nil: not checked.
    public var tokenTypes: Int?
    /// Where tokens are kept, in the subfolder `tokens`; nil: in memory.
    public var cacheDirectory: String?
    /// Bytes that everything in the cache directory may have together.
    public var cacheLimit: Int
    /// Threads that tokenise on each rank.
    public var threads: Int
    /// For rows that are documents; nil: each is an example as it is.
    var documents: DocumentReading?

    /// By default: whole examples, tokens in the user's cache directory, one thread.
    public init(
      maxLength: Int? = nil, vocabularySize: Int? = nil, tokenTypes: Int? = nil,
      cacheDirectory: String? = CacheDirectory.path(), cacheLimit: Int = CacheDirectory.defaultLimit,
      threads: Int = 1
    ) {
      self.maxLength = maxLength
      self.vocabularySize = vocabularySize
      self.tokenTypes = tokenTypes
      self.cacheDirectory = cacheDirectory
      self.cacheLimit = cacheLimit
      self.threads = threads
    }
  }

  /// Opens the files of a split, one after the other: their tokens come from the cache, or are made by all ranks
  /// together and kept there.
  ///
  /// Collective: all ranks call it with the same arguments, and all throw the same error. `.input` is thrown for a
  /// file without rows, a row that cannot be read, a label outside the set and an id outside the vocabulary, with file
  /// and line, and for text without a tokenizer; `.preflight` where ranks see different files.
  ///
  /// - Parameters:
  ///   - labels: the classes; nil: found in the file (`LabelScan`) where labels are read. A row without one gets -1.
  ///   - tokenizer: not needed for data with ids.
  public static func open(
    _ split: DatasetSplit, task: TaskDescription, labels: LabelSet? = nil, tokenizer: (any Tokenizer)?,
    options: Options = Options(), on communicator: any Communicator
  ) throws -> TokenizedDataset {
    let (file, columns) = try communicator.agree {
      let file = try task.open(split)
      try file.requireRows()
      return (file, try task.inputs(in: file))
    }
    let path = file.path
    let decided = task.kind == .classification ? try task.deciding(labels, in: file, on: communicator) : nil
    let labels = decided?.set
    var notes = decided?.notes ?? []
    let reader = try communicator.agree {
      if let types = options.tokenTypes, let tokenizer, columns.ids == nil {
        try requireTypes(of: tokenizer, pair: columns.textPair?.text, below: types, path)
      }
      try labels?.requireDistinctNames()
      return try ExampleReader(
        file, columns, labels: labels, tokenizer: tokenizer, maxLength: options.maxLength,
        documents: options.documents)
    }
    let node = try communicator.splitByNode()
    let key = try contentKey(reader, kind: task.kind, node: node, communicator)
    let builder = TokenCacheBuilder(
      reader: reader, key: key, root: options.cacheDirectory.map { joinPath($0, "tokens") },
      limit: options.cacheLimit, threads: options.threads, communicator: communicator, node: node)
    let tokens = try builder.open()
    try communicator.agree { try checkBounds(tokens.header, options, labels, file) }
    notes += builder.notes
    if tokens.header.cutRows > 0, let maxLength = options.maxLength {
      notes.append(
        "\(path): \(tokens.header.cutRows) of \(tokens.header.count) rows of ids were cut to \(maxLength) tokens "
          + "(the first: \(file.location(ofLine: tokens.header.firstCutLine)))")
    }
    let dataset = TokenizedDataset(tokens, kind: task.kind, labels: labels, notes: notes)
    guard let note = leadingTokenNote(dataset, tokenizer, path) else { return dataset }
    return TokenizedDataset(tokens, kind: task.kind, labels: labels, notes: notes + [note])
  }

  /// A segment number without a row in the model's table would be looked up in the memory behind it.
  private static func requireTypes(
    of tokenizer: any Tokenizer, pair: String?, below types: Int, _ path: String
  ) throws {
    let largest = Int(tokenizer.largestTypeID(isPair: pair != nil))
    if largest < types { return }
    let tells = "the model tells \(types) apart (type_vocab_size)"
    if let pair {
      throw RetortError(
        .input,
        "with the second text \"\(pair)\" the tokenizer's template numbers segments up to \(largest), and \(tells)",
        at: path, remedy: "use a model with type_vocab_size \(largest + 1), or one text")
    }
    throw RetortError(
      .input, "the tokenizer's template gives type_id \(largest), and \(tells)", at: path,
      remedy: "use the tokenizer that belongs to the model, or set type_id in post_processor of its tokenizer.json")
  }

  /// A remark where texts bring the token with them that the template puts before each.
  private static func leadingTokenNote(
    _ tokens: TokenizedDataset, _ tokenizer: (any Tokenizer)?, _ path: String
  ) -> String? {
    guard let leading = tokenizer?.leadingToken else { return nil }
    // More rows would be read from the disk for a remark alone.
    let looked = min(tokens.count, 100_000)
    var rows = 0
    for row in 0..<looked {
      let ids = tokens.tokens(row)
      if ids.count > 1, ids[0] == leading, ids[1] == leading { rows += 1 }
    }
    if rows == 0 { return nil }
    let name = tokenizer?.decode([leading], skipSpecialTokens: false) ?? ""
    return "\(path): \(rows) of \(looked == tokens.count ? "" : "the first ")\(looked) texts begin with \(name), "
      + "which the tokenizer puts before each text: they have it twice"
  }

  /// The file may have been made for another model: whatever a table or a row is indexed with is held against this one.
  private static func checkBounds(
    _ header: TokenFileHeader, _ options: Options, _ labels: LabelSet?, _ file: RowFile
  ) throws {
    if let size = options.vocabularySize, header.largestID >= size {
      throw RetortError(
        .input, "the token id \(header.largestID) is outside the model's vocabulary of \(size)",
        at: file.location(ofLine: header.largestIDLine),
        remedy: "use the tokenizer that belongs to the model, or data made with it")
    }
    if let types = options.tokenTypes, header.largestType >= max(1, types) {
      throw RetortError(
        .input,
        "the segment \(header.largestType) is outside the \(types) that the model tells apart (type_vocab_size)",
        at: file.location(ofLine: header.largestTypeLine), remedy: "use the tokenizer that belongs to the model")
    }
    if let labels, header.largestLabel >= labels.count {
      throw RetortError(
        .input, "the class \(header.largestLabel) is outside the \(labels.count) classes", at: file.path,
        remedy: "remove the cache directory's tokens: retort cache clear --kind tokens --all")
    }
  }

  /// SHA-256 of all that decides what the tokens are. The file is digested once a node and compared over nodes.
  private static func contentKey(
    _ reader: ExampleReader, kind: TaskKind, node: any Communicator, _ communicator: any Communicator
  ) throws -> String {
    let own = node.isFirst ? reader.file.contentDigest() : ""
    let content = try node.broadcast(text: own)
    try communicator.requireEqual(content, label: "the content of \(reader.file.path)")
    let digest = Digest()
    digest.update("retort tokens")
    digest.update(TokenFileHeader.version)
    digest.update(content)
    digest.update(reader.file.format.rawValue)
    digest.update(kind.rawValue)
    digest.update(reader.tokenizer?.digest ?? "ids")
    let columns = reader.columns
    // Joined columns have a separator that no name has.
    let texts = [columns.text, columns.textPair].map { $0?.names.joined(separator: "\u{1f}") }
    for name in texts + [columns.label, columns.ids] { digest.update(name.map { "column \($0)" } ?? "none") }
    // Where the user names the columns the content alone does not tell which is which.
    if reader.file.format == .csv || reader.file.format == .tsv { reader.file.columns.forEach(digest.update(_:)) }
    digest.update(UInt64(reader.maxLength ?? 0))
    digest.update(columns.label != nil ? "labels required" : "labels optional")
    digest.update(UInt64(reader.labels?.count ?? 0))
    for name in reader.labels?.names ?? [] { digest.update(name) }
    digest.update(reader.labels?.reading?.rawValue ?? "undecided")
    if let documents = reader.documents {
      digest.update("documents \(documents.endOfText ?? -1) \(columns.prompt.map { "prompt \($0)" } ?? "none")")
      digest.update(reader.file.documents?.name.map { "cut \($0)" } ?? "rows")
    }
    return digest.finish()
  }
}
