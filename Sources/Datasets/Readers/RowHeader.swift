import Platform

/// The source of a table's column names.
package enum RowHeader: Sendable, Equatable {
  /// The first row is the header.
  case inFile
  /// The header is optional: the first row is data if it has as many fields as there are names here and contains none
  /// of these names in any case; otherwise it is the header. With `moreFollow` rows may have further fields, which are
  /// not read.
  case maybe([String], moreFollow: Bool = false)
  /// The user names the columns: the first row is the header if it equals these names; otherwise it is data.
  case named([String])

  /// The column names; they equal the first row if that is the header.
  ///
  /// Throws `.input` if the user names another number of columns than the row has, or if the row has the same names in
  /// another order or case.
  func names(firstRow: [String], at location: @autoclosure () -> String, _ settings: SettingNames) throws -> [String] {
    switch self {
    case .inFile: return firstRow
    case .maybe(let names, let moreFollow):
      let there = Set(firstRow.map { $0.lowercased() })
      let fits = moreFollow ? names.count <= firstRow.count : names.count == firstRow.count
      return fits && !names.contains { there.contains($0.lowercased()) } ? names : firstRow
    case .named(let names):
      if names != firstRow, Set(names.map { $0.lowercased() }) == Set(firstRow.map { $0.lowercased() }) {
        throw RetortError(
          .input,
          "the file has a header, \(quoted(list: firstRow)), and columns are named for one without: "
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
