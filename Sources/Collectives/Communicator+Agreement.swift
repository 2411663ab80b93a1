import Platform

/// A value that must be equal on all ranks, with its name in words.
package struct Fingerprint: Sendable {
  /// The name of the value, as the subject of a sentence.
  package let label: String
  /// The value on this rank.
  package let value: String
  /// What to do if it differs.
  package let remedy: String

  /// Makes a fingerprint; the default remedy is to start all ranks alike.
  package init(
    _ label: String, _ value: String,
    remedy: String = "start every rank with the same program, files, options and environment"
  ) {
    self.label = label
    self.value = value
    self.remedy = remedy
  }
}

// No rank fails alone: an error on one rank is thrown on all ranks.
extension Communicator {
  /// Runs `body` on every rank; if any rank throws, every rank throws the error of the lowest failing rank.
  ///
  /// The error is marked `isCollective`. Its location names the rank and host if only some ranks failed or the errors
  /// differ; an error that is the same on all ranks names none. `body` must not contain collective calls that a failing
  /// rank would skip. Without a failure this costs one small allreduce.
  ///
  /// - Parameter what: prefixes the location, for errors whose origin does not know the context.
  package func agree<T>(_ what: String = "", _ body: () throws -> T) throws -> T {
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

  /// Throws the failure of one rank, if it has one, on all ranks: for ranks that did not take part in the failed work.
  ///
  /// - Parameter failure: the root's failure; the argument is ignored on other ranks.
  package func share(_ failure: RetortError?, of root: Int = 0) throws {
    let report = failure.map { FailureReport(error: $0, host: hostName).text } ?? ""
    guard var error = FailureReport(text: try broadcast(text: report, root: root))?.error else { return }
    error.isCollective = true
    throw error
  }

  /// Gathers the failures of all ranks and returns that of the lowest failing rank.
  private func sharedVerdict(_ own: RetortError?, lowest: Int) throws -> RetortError {
    let report = own.map { FailureReport(error: $0, host: hostName).text } ?? ""
    let reports = try allGather(text: report).map(FailureReport.init(text:))
    guard let chosen = reports[lowest] else {
      return RetortError(.unexpected, "rank \(lowest) failed without a reason")
    }
    var error = chosen.error
    let sameEverywhere = reports.allSatisfy { $0.map { $0.error.description == error.description } ?? false }
    // A stop is not a fault, so it names no rank.
    if !sameEverywhere, error.kind != .stopped {
      let place = "rank \(lowest) on \(chosen.host)"
      error.location = error.location.map { "\($0), \(place)" } ?? place
    }
    error.isCollective = true
    return error
  }

  /// Throws `.preflight` on all ranks if a fingerprint differs from rank 0's; names the first rank that differs.
  package func requireEqual(_ fingerprint: String, label: String) throws {
    try requireEqual([Fingerprint(label, fingerprint)])
  }

  /// Throws `.preflight` on all ranks if one of several fingerprints differs from rank 0's, with one exchange.
  ///
  /// Every rank passes the same labels in the same order. The error names the first difference with both values.
  package func requireEqual(_ fingerprints: [Fingerprint]) throws {
    let digests = fingerprints.map { Array(Digest.of($0.value).utf8) }
    let reference = try broadcast(bytes: digests.flatMap { $0 })
    let count = fingerprints.count
    let different = digests.indices.first { index in
      !reference.dropFirst(index * 64).prefix(64).elementsEqual(digests[index])
    }
    // The first fingerprint that differs on any rank, and the lowest such rank.
    let first = try allReduce(different.map { $0 * size + rank } ?? count * size, .min)
    guard first < count * size else { return }
    let (index, other) = (first / size, first % size)
    let expected = try broadcast(text: fingerprints[index].value, root: 0)
    let found = try broadcast(text: fingerprints[index].value, root: other)
    let hosts = try allGather(text: hostName)
    var error = RetortError(
      .preflight,
      "\(fingerprints[index].label) differs between ranks: rank 0 on \(hosts[0]) has "
        + "\(quoted(expected, beside: found)), rank \(other) on \(hosts[other]) has \(quoted(found, beside: expected))",
      remedy: fingerprints[index].remedy)
    error.isCollective = true
    throw error
  }

  /// The text itself if it is short enough to compare, otherwise the part around the first difference.
  private func quoted(_ text: String, beside other: String) -> String {
    if text.isEmpty { return "nothing" }
    if text.count <= 80 { return "\"\(text)\"" }
    let start = max(0, zip(text, other).prefix { $0 == $1 }.count - 24)
    let part = text.dropFirst(start).prefix(72)
    return "\"\(start > 0 ? "…" : "")\(part)\(start + part.count < text.count ? "…" : "")\""
  }
}

/// A rank's failure as it is sent to other ranks.
private struct FailureReport {
  var error: RetortError
  var host: String

  init(error: RetortError, host: String) {
    self.error = error
    self.host = host
  }

  /// Parses a report; nil for the empty text of a rank that did not fail.
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
