import Platform

/// The time that a step spends on communication, which everything that communicates adds to.
final class ExchangeTimes {
  private(set) var seconds = ExchangeSeconds()
  private let clock = ContinuousClock()

  /// Begins a step.
  func reset() { seconds = ExchangeSeconds() }

  /// Adds the duration of `body` to one of the step's times.
  func measure<T>(_ place: WritableKeyPath<ExchangeSeconds, Double>, _ body: () throws -> T) rethrows -> T {
    let start = clock.now
    defer { seconds[keyPath: place] += (clock.now - start).seconds }
    return try body()
  }
}
