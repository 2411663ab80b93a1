import Platform

/// The files of a data set's splits.
public struct DatasetFiles: Sendable, Equatable {
  /// Path of the training split, nil where it is missing.
  public var train: String?
  /// Path of the validation split, nil where it is missing.
  public var validation: String?

  /// The files by their paths, which are not looked at.
  public init(train: String?, validation: String?) {
    self.train = train
    self.validation = validation
  }

  static let parquetRemedy =
    "convert it to JSON Lines, for example: python3 -c \"import pandas, sys; "
    + "pandas.read_parquet(sys.argv[1]).to_json(sys.argv[2], orient='records', lines=True)\" X.parquet train.jsonl"

  /// Finds train.* and validation.* or dev.* (tsv, csv, jsonl, json, txt) in a directory.
  ///
  /// Looked through in this order: the subfolder that has the task's name (SST-2 and sst2 are one), the directory
  /// itself, its subfolder `data`. One split may be missing; where both are, or where the files are of a form that
  /// Retort does not read, `.input` is thrown with what is there.
  public static func find(inDirectory directory: String, task: String? = nil) throws -> DatasetFiles {
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
        validation: try pick(["validation", "dev", "validation_matched", "dev_matched"], names, place))
      if files.train != nil || files.validation != nil { return files }
    }
    for place in places {
      if let parquet = try listDirectory(place).first(where: { $0.hasSuffix(".parquet") }) {
        throw RetortError(
          .input, "there are only parquet files, which Retort does not read", at: joinPath(place, parquet),
          remedy: parquetRemedy)
      }
    }
    let found = try listDirectory(directory).prefix(12)
    throw RetortError(
      .input,
      "there is no train.*, validation.* or dev.* (tsv, csv, jsonl, txt); found: \(RowFile.quoted(Array(found)))",
      at: directory, remedy: "name the files: dataset: {train: FILE, validation: FILE}")
  }

  /// The file of a split by the first stem that exists; plain text counts only where there is nothing else.
  private static func pick(_ stems: [String], _ names: [String], _ place: String) throws -> String? {
    for stem in stems {
      let found = names.filter { name in
        FileFormat(path: name) != nil && name.split(separator: ".").dropLast().joined(separator: ".") == stem
      }
      let tables = found.filter { FileFormat(path: $0) != .text }
      if tables.count > 1 {
        throw RetortError(
          .input, "\(RowFile.quoted(tables)) are all there, and only one can be meant", at: place,
          remedy: "name the files: dataset: {train: FILE, validation: FILE}")
      }
      if let name = tables.first ?? found.first { return joinPath(place, name) }
    }
    return nil
  }
}
