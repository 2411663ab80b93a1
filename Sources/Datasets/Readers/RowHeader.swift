import Platform

/// Where the names of a table's columns come from.
public enum RowHeader: Sendable, Equatable {
  /// The first row has them.
  case inFile
  /// Files come with and without: the first row is data where it has as many fields as these names, and none of them
  /// in whatever case.
  case maybe([String])
  /// The user names the columns: the first row is a header where it is exactly these names, and data otherwise.
  case named([String])

  /// The names of the columns; they equal the first row where that is the header.
  ///
  /// Throws `.input` where the user names another number of columns than the row has.
  func names(firstRow: [String], at location: @autoclosure () -> String, _ settings: SettingNames) throws -> [String] {
    switch self {
    case .inFile: return firstRow
    case .maybe(let names):
      let there = Set(firstRow.map { $0.lowercased() })
      return names.count == firstRow.count && !names.contains { there.contains($0.lowercased()) } ? names : firstRow
    case .named(let names):
      if names != firstRow, Set(names.map { $0.lowercased() }) == Set(firstRow.map { $0.lowercased() }) {
        throw RetortError(
          .input, "the file has a header, \(quoted(list: firstRow)), and columns are named for one without: "
            + quoted(list: names), at: location(), remedy: "leave the names out: \(settings.header)")
      }
      if names.count == firstRow.count { return names }
      throw RetortError(
        .input,
        "the row has \(firstRow.count) \(firstRow.count == 1 ? "field" : "fields"), and \(names.count) columns "
          + "are named: \(quoted(list: names))", at: location(),
        remedy: "name each column once, in the order of the file: \(settings.header)")
    }
  }
}
