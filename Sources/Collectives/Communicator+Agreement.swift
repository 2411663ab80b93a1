import Platform

/// Something that all ranks must have alike, in words.
public struct Fingerprint: Sendable {
  /// What it is, as the subject of a sentence.
  public let label: String
  /// Its value on this rank.
  public let value: String
  /// What to do where it differs.
  public let remedy: String

  /// A fingerprint; by default the remedy is to start all ranks alike.
  public init(
    _ label: String, _ value: String,
    remedy: String = "start every rank with the same program, files, options and environment"
  ) {
    self.label = label
    self.value = value
    self.remedy = remedy
  }
}

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
    // Who was asked first is of no interest, and no fault.
    if !sameEverywhere, error.kind != .stopped {
      let place = "rank \(lowest) on \(chosen.host)"
      error.location = error.location.map { "\($0), \(place)" } ?? place
    }
    error.isCollective = true
    return error
  }

  /// Throws `.preflight` on all ranks when a fingerprint differs from that of rank 0; names the first that differs.
  public func requireEqual(_ fingerprint: String, label: String) throws {
    try requireEqual([Fingerprint(label, fingerprint)])
  }

  /// Throws `.preflight` on all ranks when one of several fingerprints differs from that of rank 0, in one exchange.
  ///
  /// Every rank passes the same labels in the same order. The error names the first that differs, with both values.
  public func requireEqual(_ fingerprints: [Fingerprint]) throws {
    let digests = fingerprints.map { Array(Digest.of($0.value).utf8) }
    let reference = try broadcast(bytes: digests.flatMap { $0 })
    let count = fingerprints.count
    let different = digests.indices.first { index in
      !reference.dropFirst(index * 64).prefix(64).elementsEqual(digests[index])
    }
    // The first fingerprint that differs anywhere, and the lowest rank where it does.
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

  /// The text itself while a person can compare it, the part around the first difference otherwise.
  private func quoted(_ text: String, beside other: String) -> String {
    if text.isEmpty { return "nothing" }
    if text.count <= 80 { return "\"\(text)\"" }
    let start = max(0, zip(text, other).prefix { $0 == $1 }.count - 24)
    let part = text.dropFirst(start).prefix(72)
    return "\"\(start > 0 ? "…" : "")\(part)\(start + part.count < text.count ? "…" : "")\""
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
