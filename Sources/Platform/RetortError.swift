/// An error that a person can act on: what is wrong, where, and what to do.
///
/// The kind decides the exit code of the command. Everything that a user's file, a flag or a peer can cause
/// is thrown as this type; programming errors are preconditions.
package struct RetortError: Error, Equatable, Sendable {
  /// The documented exit codes of the command.
  package enum Kind: Int32, Sendable, CaseIterable {
    case unexpected = 1
    case configuration = 2
    case input = 3
    case preflight = 4
    case numerical = 5
    case checkpoint = 6
    case peer = 7
    case stopped = 75
  }

  package var kind: Kind
  /// What is wrong, one sentence without a full stop.
  package var what: String
  /// File and line, key, tensor, rank and host, as far as they are known.
  package var location: String?
  /// What the reader should do.
  package var remedy: String?
  /// Whether every rank of the job throws this same error, so that the job can end without `MPI_Abort`.
  package var isCollective = false

  /// Makes an error of one rank; `what` and `remedy` are phrases without a full stop, which `description` joins.
  package init(_ kind: Kind, _ what: String, at location: String? = nil, remedy: String? = nil) {
    self.kind = kind
    self.what = what
    self.location = location
    self.remedy = remedy
  }

  /// The same error with a location put in front of its own.
  package func located(_ outer: String) -> RetortError {
    var copy = self
    copy.location = location.map { "\(outer), \($0)" } ?? outer
    return copy
  }

  /// Any error as a `RetortError`: itself, or an `.unexpected` error that quotes it.
  package static func wrap(_ error: any Error) -> RetortError {
    (error as? RetortError) ?? RetortError(.unexpected, "\(error)")
  }
}

extension RetortError: CustomStringConvertible {
  /// `WHERE: WHAT. REMEDY.` in one line.
  package var description: String {
    let shown = RetortError.cut(what)
    var text = location.map { "\(RetortError.cut($0)): \(shown)" } ?? shown
    if let remedy = remedy.map(RetortError.cut) {
      // A remedy that begins with a key, a path or an option keeps its spelling.
      let isWord = !remedy.prefix { $0 != " " }.contains { "_/=.$-".contains($0) }
      text += ". " + (isWord ? remedy.prefix(1).uppercased() + remedy.dropFirst() : remedy)
    }
    return text.hasSuffix(".") || text.hasSuffix("?") ? text : text + "."
  }

  /// Bytes above which a part of the message is cut, since it may quote a user's file.
  private static let longest = 4_000

  private static func cut(_ text: String) -> String {
    if text.utf8.count <= longest { return text }
    return text.prefix(longest / 4) + "… (\(grouped(text.utf8.count)) bytes in all)"
  }
}
