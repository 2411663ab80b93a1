import Collectives
import Platform
import Tokenizers

extension TokenizedDataset {
  /// How a data file is read.
  package struct Options: Sendable {
    /// Maximum tokens of an example, special tokens included; nil: no limit.
    package var maxLength: Int?
    /// Rows of the model's token embedding table; an id beyond them is refused. nil: not checked.
    package var vocabularySize: Int?
    /// Rows of the model's segment table; a text pair needs two. nil: not checked.
    package var tokenTypes: Int?
    /// The cache directory, which keeps tokens in its subfolder `tokens`; nil: tokens stay in memory.
    package var cacheDirectory: String?
    /// Maximum bytes of the whole cache directory.
    package var cacheLimit: Int
    /// The number of tokenising threads on each rank.
    package var threads: Int
    /// How rows are read as documents; nil: each row is an example.
    var documents: DocumentReading?

    /// Defaults: whole examples, tokens in the user's cache directory, one thread.
    package init(
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

  /// Opens the files of a split in order; their tokens come from the cache, or all ranks build them together and cache
  /// them.
  ///
  /// Collective: all ranks call it with the same arguments, and all throw the same error: `.input` with file and line
  /// for a file without rows, a row that cannot be read, a label outside the set or an id outside the vocabulary, and
  /// for text without a tokenizer; `.preflight` if ranks see different files.
  ///
  /// - Parameters:
  ///   - labels: the classes; nil: found in the file (`LabelScan`) if labels are read. A row without a label gets -1.
  ///   - tokenizer: not needed for data with ids.
  package static func open(
    _ split: DatasetSplit, task: TaskDescription, labels: LabelSet? = nil, tokenizer: (any Tokenizer)?,
    options: Options = Options(), on communicator: any Communicator
  ) throws -> TokenizedDataset {
    let (file, columns) = try communicator.agree {
      let file = try task.open(split)
      try file.requireRows()
      return (file, try task.inputs(in: file))
    }
    let path = file.path
    let decided = task.definition.hasLabels ? try task.deciding(labels, in: file, on: communicator) : nil
    let labels = decided?.set
    var notes = decided?.notes ?? []
    let reader = try communicator.agree {
      if let types = options.tokenTypes, let tokenizer, columns.ids == nil {
        let pair = task.definition.rows == .sequences ? nil : columns.textPair?.text
        try requireTypes(of: tokenizer, pair: pair, below: types, path)
      }
      try labels?.requireDistinctNames()
      return try ExampleReader(
        file, columns, of: task, labels: labels, tokenizer: tokenizer, maxLength: options.maxLength,
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
        "\(path): \(tokens.header.cutRows) of \(tokens.header.count) rows \(columns.ids == nil ? "" : "of ids ")were "
          + "cut to \(maxLength) tokens "
          + "(the first: \(file.location(ofLine: tokens.header.firstCutLine)))"
          + (task.definition.rows == .tokens ? "; words behind the cut have no answer and are in no figure" : ""))
    }
    let dataset = TokenizedDataset(tokens, kind: task.kind, labels: labels, notes: notes)
    if dataset.labelled != .all { try task.refuseSlips(in: file, columns, on: communicator) }
    guard let note = leadingTokenNote(dataset, tokenizer, path) else { return dataset }
    return TokenizedDataset(tokens, kind: task.kind, labels: labels, notes: notes + [note])
  }

  /// Throws `.input` if the tokenizer gives a segment that the model's segment table has no row for.
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

  /// A remark if texts already begin with the token that the tokenizer's template puts before each text; nil otherwise.
  private static func leadingTokenNote(
    _ tokens: TokenizedDataset, _ tokenizer: (any Tokenizer)?, _ path: String
  ) -> String? {
    guard let leading = tokenizer?.leadingToken else { return nil }
    // The limit keeps a remark from reading a large file from disk.
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

  /// Throws `.input` if an id, segment or class of the file, which another model's run may have built, exceeds a table.
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

  /// SHA-256 of everything that determines the tokens. Each node digests the file once; nodes compare their digests.
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
    // The separator of joined column names occurs in no name.
    let texts = [columns.text, columns.textPair].map { $0?.names.joined(separator: "\u{1f}") }
    for name in texts + [columns.label, columns.ids, columns.tokens] {
      digest.update(name.map { "column \($0)" } ?? "none")
    }
    // The user may name the columns of CSV and TSV files, so the content does not determine the names.
    if reader.file.format == .csv || reader.file.format == .tsv { reader.file.columns.forEach(digest.update(_:)) }
    digest.update(UInt64(reader.maxLength ?? 0))
    digest.update(columns.label != nil ? "labels required" : "labels optional")
    digest.update(UInt64(reader.labels?.count ?? 0))
    for name in reader.labels?.names ?? [] { digest.update(name) }
    digest.update(reader.labels?.reading?.rawValue ?? "undecided")
    digest.update("targets \(reader.targets) \(reader.task.subwords.rawValue)")
    if let stride = reader.task.stride, reader.windows != nil { digest.update("stride \(stride.tokens)") }
    if let documents = reader.documents {
      digest.update("documents \(documents.endOfText ?? -1) \(columns.prompt.map { "prompt \($0)" } ?? "none")")
      digest.update(reader.file.documents?.name.map { "cut \($0)" } ?? "rows")
    }
    return digest.finish()
  }
}
