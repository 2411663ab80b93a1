import CSystem
import Platform

/// Sends and receives the heartbeats of a rank.
final class Link: @unchecked Sendable {
  // Unchecked: `zero` is set before the thread that uses it starts; the system serialises calls on the socket.
  struct Place: Hashable {
    /// An IPv6 address as two words in network order; IPv4 addresses are mapped.
    let high, low: UInt64
    let port: UInt16

    init(_ address: rts_address, port: UInt16) { (high, low, self.port) = (address.high, address.low, port) }

    var address: rts_address { rts_address(high: high, low: low) }
  }

  let rank: Int
  private let socket: Int32
  private let token: [UInt8]
  /// The address of rank 0.
  private var zero: Place?

  init(socket: Int32, token: [UInt8], rank: Int) {
    self.socket = socket
    self.token = token
    self.rank = rank
  }

  /// Tries for 5 seconds to find the address at which rank 0 answers; returns whether it has found one.
  func greet(_ addresses: [rts_address], port: UInt16) -> Bool {
    for _ in 0..<50 {
      for address in addresses { send(.hello, to: Place(address, port: port)) }
      while let (message, place) = receive(milliseconds: 100) {
        guard message.rank == 0 else { continue }
        zero = place
        return true
      }
    }
    return false
  }

  /// Sends to rank 0.
  func send(_ kind: Heartbeat.Kind, _ activity: Activity.Snapshot = Activity.now) {
    if let zero { send(kind, activity, to: zero) }
  }

  /// Sends a datagram; errors are ignored, since a datagram may be lost anyway.
  func send(_ kind: Heartbeat.Kind, _ activity: Activity.Snapshot = Activity.now, to place: Place) {
    let bytes = Heartbeat(kind, rank: rank, activity).bytes(token: token)
    _ = rts_udp_send(socket, place.address, place.port, bytes, bytes.count)
  }

  /// The next datagram of this job; nil if none arrives in time.
  func receive(milliseconds: Int32) -> (Heartbeat, Place)? {
    var bytes = [UInt8](repeating: 0, count: 512)
    var (address, port) = (rts_address(), UInt16(0))
    let count = rts_udp_receive(socket, &bytes, bytes.count, milliseconds, &address, &port)
    guard count > 0, let message = Heartbeat(bytes.prefix(count), token: token) else { return nil }
    return (message, Place(address, port: port))
  }
}
