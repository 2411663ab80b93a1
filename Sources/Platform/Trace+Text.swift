// The file is the object form of the trace event format: chrome://tracing and https://ui.perfetto.dev read it.

extension Trace {
  /// The text before the events of all ranks in the file.
  package static let fileStart = "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n"
  /// The text after the events.
  package static let fileEnd = "\n]}\n"

  /// The file in which a rank that fails alone writes its own events: trace.rank3.json for trace.json of rank 3.
  package static func path(_ path: String, ofRank rank: Int) -> String {
    let name = path.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
    guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return "\(path).rank\(rank)" }
    return "\(path.dropLast(name.count))\(name[..<dot]).rank\(rank)\(name[dot...])"
  }

  /// The events of this rank as JSON objects separated by commas; never empty, since it begins with the process name.
  ///
  /// A rank is a process. Its work is a thread of complete events ("X"), its transfers are asynchronous events
  /// ("b", "e"). Times are microseconds on rank 0's clock.
  package func text() -> String {
    var out = metadata
    out.reserveCapacity(out.utf8.count + 120 * count)
    let quoted = names.map { JSON.string($0).text().dropLast() }
    for (index, event) in recorded.enumerated() {
      out += ",\n{\"name\": " + quoted[Int(event.name)]
      if event.number >= 0 { out += ".\(event.number)" }
      out += "\", "
      write(event, index, to: &out)
    }
    return out
  }

  private var metadata: String {
    func event(_ name: String, _ arguments: [String: JSON]) -> String {
      let event: JSON = [
        "name": .string(name), "ph": "M", "pid": .int(rank), "tid": 0, "args": .object(arguments),
      ]
      return event.text()
    }
    return [
      event("process_name", ["name": .string("rank \(rank) on \(host)")]),
      event("process_sort_index", ["sort_index": .int(rank)]), event("thread_name", ["name": "work"]),
    ].joined(separator: ",\n")
  }

  private func write(_ event: Event, _ index: Int, to out: inout String) {
    let place = "\"pid\": \(rank), \"tid\": 0"
    let start = microseconds(event.start + clockOffset - origin)
    switch event.kind {
    case .span, .step:
      out += "\"cat\": \"\(event.kind == .step ? "step" : "work")\", \"ph\": \"X\", \"ts\": \(start), "
      out += "\"dur\": \(microseconds(event.duration)), \(place)"
      if event.kind == .step { out += ", \"args\": {\"step\": \(event.amount)}" }
      out += "}"
    case .transfer:
      let end = microseconds(event.start + event.duration + clockOffset - origin)
      let identity = "\"cat\": \"communication\", \"id\": \"\(rank).\(index)\", \(place)"
      out += "\"ph\": \"b\", \"ts\": \(start), \(identity), \"args\": {\"bytes\": \(event.amount)}}"
      out += ",\n{\"name\": " + JSON.string(names[Int(event.name)]).text()
      out += ", \"ph\": \"e\", \"ts\": \(end), \(identity)}"
    }
  }

  private func microseconds(_ nanoseconds: Int64) -> String {
    let (whole, rest) = (nanoseconds.magnitude / 1000, nanoseconds.magnitude % 1000)
    let digits = "\(rest)"
    return (nanoseconds < 0 ? "-" : "") + "\(whole)." + String(repeating: "0", count: 3 - digits.count) + digits
  }
}
