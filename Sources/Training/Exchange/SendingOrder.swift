import Autograd

/// The fixed order in which ranks send parcels (buckets, tables): each waits for its gradients and those before it.
struct SendingOrder {
  private let parcelOf: [ObjectIdentifier: Int]
  private let parametersIn: [Int]
  private var waitingFor: [Int]
  private var next = 0

  /// - Parameter parcels: the parameters of each parcel, in the order of sending.
  init(_ parcels: [[Parameter]]) {
    var parcelOf: [ObjectIdentifier: Int] = [:]
    for (parcel, parameters) in parcels.enumerated() {
      for parameter in parameters { parcelOf[ObjectIdentifier(parameter)] = parcel }
    }
    self.parcelOf = parcelOf
    parametersIn = parcels.map(\.count)
    waitingFor = parametersIn
  }

  /// Restarts: no gradient is complete, and nothing has been sent.
  mutating func restart() {
    waitingFor = parametersIn
    next = 0
  }

  /// Notes that a parameter's gradient is complete.
  mutating func complete(_ parameter: Parameter) {
    if let parcel = parcelOf[ObjectIdentifier(parameter)] { waitingFor[parcel] -= 1 }
  }

  /// Whether the next parcel has all of its gradients.
  var hasComplete: Bool { next < waitingFor.count && waitingFor[next] <= 0 }

  /// The next parcel if it has all of its gradients; it counts as sent.
  mutating func takeComplete() -> Int? { hasComplete ? take() : nil }

  /// The next parcel, complete or not; it counts as sent.
  mutating func take() -> Int? {
    guard next < waitingFor.count else { return nil }
    defer { next += 1 }
    return next
  }
}
