import Platform

/// The files of a data set's splits.
package struct DatasetFiles: Sendable, Equatable {
  /// The training split; nil if it is missing.
  package var train: DatasetSplit?
  /// The validation split; nil if it is missing.
  package var validation: DatasetSplit?
  /// The test split; nil if it is missing.
  package var test: DatasetSplit?

  /// The splits with these files, which are not opened.
  package init(train: DatasetSplit?, validation: DatasetSplit?, test: DatasetSplit? = nil) {
    self.train = train
    self.validation = validation
    self.test = test
  }

  static let parquetRemedy =
    "convert it to JSON Lines, for example: python3 -c \"import pandas, sys; "
    + "pandas.read_parquet(sys.argv[1]).to_json(sys.argv[2], orient='records', lines=True)\" X.parquet train.jsonl"

  /// The expected files of a data set's directory, for messages.
  package static let layout =
    "train.* and validation.*, valid.*, val.* or dev.* (tsv, csv, jsonl, json, conll or txt, also .gz or in shards)"

  /// Finds the splits in a directory: `train.*`, `validation.*` (or `valid`, `val`, `dev`, `devel`) and `test.*`, with
  /// the extensions tsv, csv, jsonl, json, conll or txt, optionally followed by .gz. A split is one file, or numbered
  /// shards: `train-00000-of-00003.jsonl`, `train-0.tsv`, `train_1.csv`.
  ///
  /// The places are searched in this order: the subfolder with the task's name (SST-2 and sst2 are the same), the
  /// directory itself, its subfolder `data`. A split may be missing; if all are missing, or the files are in a format
  /// that Retort does not read, throws `.input` with the files found.
  package static func find(inDirectory directory: String, task: String? = nil) throws -> DatasetFiles {
    var places: [String] = []
    for name in try listDirectory(directory) where isDirectory(joinPath(directory, name)) {
      if let task, WellKnownTask.key(name) == WellKnownTask.key(task) { places.append(joinPath(directory, name)) }
    }
    places.append(directory)
    if isDirectory(joinPath(directory, "data")) { places.append(joinPath(directory, "data")) }
    for place in places {
      let names = try listDirectory(place)
      let files = DatasetFiles(
        train: try pick(["train"], names, place),
        validation: try pick(
          ["validation", "valid", "val", "dev", "devel", "validation_matched", "dev_matched"], names, place),
        test: try pick(["test"], names, place))
      if files.train != nil || files.validation != nil || files.test != nil { return files }
    }
    for place in places {
      if let parquet = try listDirectory(place).first(where: { $0.hasSuffix(".parquet") }) {
        throw RetortError(
          .input, "there are only parquet files, which Retort does not read", at: joinPath(place, parquet),
          remedy: parquetRemedy)
      }
    }
    let found = try listDirectory(directory)
    throw RetortError(
      .input, "there is no \(layout); found: \(quoted(list: found, most: 12))",
      at: directory, remedy: "name the files: dataset: {train: FILE, validation: FILE}")
  }

  /// A shard's number in its split, and the number of shards if the name contains it.
  private struct Shard {
    let name: String
    let number: Int
    let total: Int?
  }

  /// The files of a split with the first stem that exists; plain text is used only if there is no other file.
  private static func pick(_ stems: [String], _ names: [String], _ place: String) throws -> DatasetSplit? {
    for stem in stems {
      let found = names.filter { FileFormat(path: $0) != nil && self.stem(of: $0) == stem }
      let tables = found.filter { FileFormat(path: $0) != .text }
      let shards = names.compactMap { shard($0, of: stem) }
      let single = tables.isEmpty && shards.isEmpty ? found : tables
      if single.count > 1 || (single.count == 1 && !shards.isEmpty) {
        let all = single + shards.map(\.name)
        throw RetortError(
          .input, "\(quoted(list: all)) are all there, and only one can be meant", at: place,
          remedy: "name the files: dataset: {train: FILE, validation: FILE}")
      }
      if let name = single.first { return DatasetSplit(joinPath(place, name)) }
      if !shards.isEmpty { return try split(of: shards, stem, place) }
    }
    return nil
  }

  /// All shards of a split in order; throws `.input` if a shard is missing or occurs twice.
  private static func split(of shards: [Shard], _ stem: String, _ place: String) throws -> DatasetSplit {
    let ordered = shards.sorted { ($0.number, $0.name) < ($1.number, $1.name) }
    let totals = Set(ordered.map(\.total))
    let numbers = ordered.map(\.number)
    let isWhole = totals.first?.map { numbers == Array(0..<$0) } ?? true
    if totals.count > 1 || !isWhole || Set(numbers).count < numbers.count {
      throw RetortError(
        .input, "the shards of \(stem) are not whole: \(quoted(list: ordered.map(\.name), most: 12))", at: place,
        remedy:
          "bring the missing ones, remove those of another set, or name the files: dataset: {train: [FILE, FILE], …}")
    }
    return DatasetSplit(ordered.map { joinPath(place, $0.name) })
  }

  /// A file name without its extensions.
  private static func stem(of name: String) -> String {
    FileFormat.withoutCompression(name).split(separator: ".").dropLast().joined(separator: ".")
  }

  /// Parses a shard's name: `train-00000-of-00003`, `train-0`, `train_1` and `train.2` are shards of train.
  private static func shard(_ name: String, of stem: String) -> Shard? {
    guard FileFormat(path: name) != nil else { return nil }
    let own = self.stem(of: name)
    guard own.hasPrefix(stem) else { return nil }
    let rest = own.dropFirst(stem.count)
    guard let first = rest.first, "-_.".contains(first) else { return nil }
    let parts = rest.dropFirst().split(separator: "-", omittingEmptySubsequences: false)
    func number(_ text: Substring) -> Int? {
      !text.isEmpty && text.utf8.allSatisfy { (48...57).contains($0) } ? Int(text) : nil
    }
    if parts.count == 1, let number = number(parts[0]) { return Shard(name: name, number: number, total: nil) }
    guard parts.count == 3, parts[1] == "of", let place = number(parts[0]), let total = number(parts[2]),
      total < 100_000
    else { return nil }
    return Shard(name: name, number: place, total: total)
  }
}
