#if canImport(Glibc)
  import Glibc
#endif

/// A timeline of this rank's work, kept in memory that is reserved at the start.
///
/// Code marks its work with `Trace.span` and `Trace.detail`; without a trace each costs a check for nil. Spans nest as
/// calls do. Details (layers, transfers) are recorded only inside the optimizer steps of the window, so that a long run
/// has a trace of bounded size. Only the thread that started the trace is recorded.
package final class Trace {
  /// Which optimizer steps are recorded, and how much memory that may take.
  package struct Limits: Sendable, Equatable {
    /// Optimizer steps, counted from 1 in each chain step of this run.
    package var steps: ClosedRange<Int>
    /// The most events that are kept, 40 bytes each; later ones are counted and dropped.
    package var events: Int

    /// By default the first 100 optimizer steps of each chain step, and 262,144 events.
    package init(steps: ClosedRange<Int> = 1...100, events: Int = 1 << 18) {
      self.steps = steps
      self.events = events
    }
  }

  struct Event {
    /// Index in `names`.
    var name: Int32
    /// Part of the name (which layer), or -1.
    var number: Int32
    /// Nanoseconds on this rank's clock.
    var start: Int64
    /// Nanoseconds.
    var duration: Int64
    /// The step number or the bytes, depending on `kind`; -1 for none.
    var amount: Int64
    var kind: Kind
  }

  enum Kind: UInt8 {
    case span, step, transfer
  }

  /// The trace of this process; nil if nothing is traced.
  nonisolated(unsafe) package private(set) static var current: Trace?

  /// The rank of this process.
  package let rank: Int
  let host: String
  /// Rank 0's clock minus this rank's, in nanoseconds.
  let clockOffset: Int64
  /// Rank 0's clock at the beginning of the trace.
  let origin: Int64
  private let limits: Limits
  private let owner = pthread_self()
  private let events: UnsafeMutablePointer<Event>
  private(set) var count = 0
  /// The number of events dropped for lack of room.
  package private(set) var dropped = 0
  private(set) var names: [String] = []
  private var numbers: [UInt: Int32] = [:]
  private var numbersByText: [String: Int32] = [:]
  private var stepsSeen = 0
  private var isInWindow = false
  private var section: (name: Int32, start: Int64)?

  private init(rank: Int, host: String, clockOffset: Int64, origin: Int64, limits: Limits) {
    self.rank = rank
    self.host = host
    self.clockOffset = clockOffset
    self.origin = origin
    self.limits = limits
    // The system provides the pages only as events are written.
    events = .allocate(capacity: max(1, limits.events))
  }

  deinit { events.deallocate() }

  /// Begins to record on the calling thread.
  ///
  /// - Parameters:
  ///   - clockOffset: rank 0's `now` minus this rank's.
  ///   - origin: rank 0's `now` at the beginning.
  package static func start(rank: Int, host: String, clockOffset: Int64, origin: Int64, limits: Limits = Limits()) {
    current = Trace(rank: rank, host: host, clockOffset: clockOffset, origin: origin, limits: limits)
  }

  /// Ends the recording and returns it; nil if nothing was traced.
  package static func stop() -> Trace? {
    defer { current = nil }
    return current
  }

  /// Nanoseconds of the monotonic clock.
  package static var now: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }

  /// Records the body's duration under a name; inside an optimizer step only if the step is in the window.
  package static func span<T>(_ name: StaticString, _ body: () throws -> T) rethrows -> T {
    try Activity.during("\(name)") { try recordedSpan(name, body) }
  }

  private static func recordedSpan<T>(_ name: StaticString, _ body: () throws -> T) rethrows -> T {
    guard let trace = current, trace.isHere, !trace.isInStep || trace.isInWindow else { return try body() }
    return try trace.record(name, body)
  }

  /// Records the body's duration under a name made at run time, outside optimizer steps only.
  package static func span<T>(named name: String, _ body: () throws -> T) rethrows -> T {
    try Activity.during(name) { try recordedSpan(named: name, body) }
  }

  private static func recordedSpan<T>(named name: String, _ body: () throws -> T) rethrows -> T {
    guard let trace = current, trace.isHere, !trace.isInStep else { return try body() }
    let (id, start) = (trace.intern(name), Trace.now)
    defer { trace.add(id, start: start) }
    return try body()
  }

  /// Records the body's duration inside an optimizer step of the window only; `number` becomes part of the name.
  package static func detail<T>(_ name: StaticString, _ number: Int = -1, _ body: () throws -> T) rethrows -> T {
    Activity.tick()
    guard let trace = current, trace.isInWindow, trace.isHere else { return try body() }
    return try trace.record(name, number: number, body)
  }

  /// Records an optimizer step of the window, and enables the records inside it.
  package static func step<T>(_ step: Int, _ body: () throws -> T) rethrows -> T {
    try Activity.during("step \(step)") { try recordedStep(step, body) }
  }

  private static func recordedStep<T>(_ step: Int, _ body: () throws -> T) rethrows -> T {
    guard let trace = current, trace.isHere else { return try body() }
    trace.stepsSeen += 1
    trace.isInStep = true
    trace.isInWindow = trace.limits.steps.contains(trace.stepsSeen)
    defer { (trace.isInStep, trace.isInWindow) = (false, false) }
    return trace.isInWindow ? try trace.record("step", amount: step, kind: .step, body) : try body()
  }

  /// Restarts the count of optimizer steps that the window refers to.
  package static func beginTraining() { current?.stepsSeen = 0 }

  private var isInStep = false
  private var isHere: Bool { pthread_equal(owner, pthread_self()) != 0 }

  private func record<T>(
    _ name: StaticString, number: Int = -1, amount: Int = -1, kind: Kind = .span, _ body: () throws -> T
  ) rethrows -> T {
    let (id, start) = (intern(name), Trace.now)
    defer { add(id, number: number, start: start, amount: amount, kind: kind) }
    return try body()
  }

  private func add(_ name: Int32, number: Int = -1, start: Int64, amount: Int = -1, kind: Kind = .span) {
    guard count < limits.events else {
      dropped += 1
      return
    }
    (events + count).initialize(
      to: Event(
        name: name, number: Int32(truncatingIfNeeded: number), start: start, duration: Trace.now - start,
        amount: Int64(amount), kind: kind))
    count += 1
  }

  private func intern(_ name: StaticString) -> Int32 {
    // Comparing addresses of literals is faster than comparing their text.
    let key = UInt(bitPattern: name.utf8Start)
    if let known = numbers[key] { return known }
    let number = intern("\(name)")
    numbers[key] = number
    return number
  }

  private func intern(_ name: String) -> Int32 {
    if let known = numbersByText[name] { return known }
    names.append(name)
    numbersByText[name] = Int32(names.count - 1)
    return Int32(names.count - 1)
  }

  /// The recorded events, ordered by their end.
  var recorded: UnsafeBufferPointer<Event> { UnsafeBufferPointer(start: events, count: count) }
}

// MARK: Sections and transfers

extension Trace {
  /// Whether details are recorded now, for callers that must build a name first.
  package static var wantsDetails: Bool { current.map { $0.isInWindow && $0.isHere } ?? false }

  /// Ends the open section and begins another, unless it already has this name; for work that is a sequence, such as a
  /// backward pass.
  package static func enterSection(_ name: String) {
    guard let trace = current, wantsDetails else { return }
    let id = trace.intern(name)
    if trace.section?.name == id { return }
    endSection()
    trace.section = (id, now)
  }

  /// Whether a section is open.
  package static var isInSection: Bool { current?.section != nil }

  /// Ends the open section, if there is one.
  package static func endSection() {
    guard let trace = current, let section = trace.section else { return }
    trace.section = nil
    trace.add(section.name, start: section.start)
  }

  /// An operation that overlaps other work, such as the reduce-scatter of a bucket.
  package struct Transfer {
    fileprivate let name: Int32
    fileprivate let start: Int64
    fileprivate let bytes: Int

    /// Records the transfer as ended now.
    package func end() {
      if let trace = Trace.current, trace.isHere {
        trace.add(name, start: start, amount: bytes, kind: .transfer)
      }
    }
  }

  /// Begins a transfer; nil if details are not recorded.
  package static func transfer(_ name: StaticString, bytes: Int) -> Transfer? {
    guard let trace = current, wantsDetails else { return nil }
    return Transfer(name: trace.intern(name), start: now, bytes: bytes)
  }
}
