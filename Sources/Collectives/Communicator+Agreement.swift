import Platform

// No rank fails alone: what can fail on one rank ends in a verdict that all share.
extension Communicator {
  /// Runs `body` on every rank; where any rank throws, every rank throws the error of the lowest rank that did.
  ///
  /// The error is marked `isCollective`. Its location names the rank and host when only some ranks failed, or when
  /// they failed for different reasons; when all say the same, no rank is to blame. `body` must not wait for peers in
  /// a way that a failing rank would skip. When all is well this costs one small allreduce.
  ///
  /// - Parameter what: put in front of the location, for errors whose origin does not know what it was part of.
  public func agree<T>(_ what: String = "", _ body: () throws -> T) throws -> T {
    var value: T?
    var failure: RetortError?
    do { value = try body() } catch {
      let wrapped = RetortError.wrap(error)
      failure = what.isEmpty ? wrapped : wrapped.located(what)
    }
    let lowest = try allReduce(failure == nil ? size : rank, .min)
    if lowest < size { throw try sharedVerdict(failure, lowest: lowest) }
    return value!
  }

  /// Throws the failure of one rank on all ranks, where it has one: for ranks that could not take part in what failed.
  ///
  /// - Parameter failure: of the root; what others pass is not looked at.
  public func share(_ failure: RetortError?, of root: Int = 0) throws {
    let report = failure.map { FailureReport(error: $0, host: hostName).text } ?? ""
    guard var error = FailureReport(text: try broadcast(text: report, root: root))?.error else { return }
    error.isCollective = true
    throw error
  }

  /// Ships every rank's failure to all and picks that of the lowest failing rank.
  private func sharedVerdict(_ own: RetortError?, lowest: Int) throws -> RetortError {
    let report = own.map { FailureReport(error: $0, host: hostName).text } ?? ""
    let reports = try allGather(text: report).map(FailureReport.init(text:))
    guard let chosen = reports[lowest] else {
      return RetortError(.unexpected, "rank \(lowest) failed without saying why")
    }
    var error = chosen.error
    let sameEverywhere = reports.allSatisfy { $0.map { $0.error.description == error.description } ?? false }
    if !sameEverywhere {
      let place = "rank \(lowest) on \(chosen.host)"
      error.location = error.location.map { "\($0), \(place)" } ?? place
    }
    error.isCollective = true
    return error
  }

  /// Throws `.preflight` on all ranks when a fingerprint differs from that of rank 0; names the first that differs.
  public func requireEqual(_ fingerprint: String, label: String) throws {
    let digest = Array(Digest.of(fingerprint).utf8)
    let reference = try broadcast(bytes: digest)
    let first = try allReduce(digest == reference ? size : rank, .min)
    guard first < size else { return }
    let expected = try broadcast(text: fingerprint, root: 0)
    let found = try broadcast(text: fingerprint, root: first)
    let hosts = try allGather(text: hostName)
    var error = RetortError(
      .preflight,
      "\(label) differs between ranks: rank 0 on \(hosts[0]) has \(quoted(expected)), "
        + "rank \(first) on \(hosts[first]) has \(quoted(found))",
      remedy: "start every rank with the same program, files, options and environment")
    error.isCollective = true
    throw error
  }

  /// The text itself while a person can compare it, its start otherwise.
  private func quoted(_ text: String) -> String {
    text.count <= 80 ? "\"\(text)\"" : "\"\(text.prefix(72))…\""
  }
}

/// A rank's failure in the form that is shipped.
private struct FailureReport {
  var error: RetortError
  var host: String

  init(error: RetortError, host: String) {
    self.error = error
    self.host = host
  }

  /// Reads a shipped report; nil for the empty text of a rank that did not fail.
  init?(text: String) {
    guard !text.isEmpty, let json = try? JSON(parsing: text),
      let kind = json["kind"]?.int.flatMap({ Int32(exactly: $0) }),
      let what = json["what"]?.string
    else { return nil }
    error = RetortError(
      RetortError.Kind(rawValue: kind) ?? .unexpected, what, at: json["location"]?.string,
      remedy: json["remedy"]?.string)
    host = json["host"]?.string ?? "unknown host"
  }

  var text: String {
    let fields: [String: JSON] = [
      "kind": .int(Int(error.kind.rawValue)), "what": .string(error.what),
      "location": error.location.map { .string($0) } ?? .null, "remedy": error.remedy.map { .string($0) } ?? .null,
      "host": .string(host),
    ]
    return JSON.object(fields).text()
  }
}
