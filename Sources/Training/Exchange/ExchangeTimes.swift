import Platform

/// The time that a step spends on communication, which everything that communicates adds to.
final class ExchangeTimes {
  private(set) var seconds = ExchangeSeconds()
  private var others = 0.0
  private let clock = ContinuousClock()

  /// Begins a step.
  func reset() { seconds = ExchangeSeconds() }

  /// Adds the duration of `body` to one of the step's times.
  func measure<T>(_ place: WritableKeyPath<ExchangeSeconds, Double>, _ body: () throws -> T) rethrows -> T {
    let (start, before) = (clock.now, others)
    defer { seconds[keyPath: place] += (clock.now - start).seconds - (others - before) }
    return try body()
  }

  /// Runs work inside a measured body that is no communication.
  func excluding<T>(_ body: () throws -> T) rethrows -> T {
    let start = clock.now
    defer { others += (clock.now - start).seconds }
    return try body()
  }
}
