import Platform

/// A datagram between a rank and rank 0.
struct Heartbeat: Equatable {
  enum Kind: UInt8 {
    /// A rank asks whether rank 0 hears it; rank 0 answers with a beat.
    case hello = 1
    /// The sender is alive, with its state.
    case beat
    /// Rank 0 has decided that the job cannot continue: every rank ends.
    case verdict
    /// The sender ends normally.
    case farewell
  }

  static let byteCount = 128
  private static let phaseCapacity = 80

  var kind: Kind
  var rank: Int
  var activity: Activity.Snapshot

  /// The datagram; it begins with the job's token, so that datagrams of other programs are ignored.
  func bytes(token: [UInt8]) -> [UInt8] {
    var bytes = token + [kind.rawValue, activity.wait.rawValue | (activity.isBlocked ? 0x80 : 0)]
    withUnsafeBytes(of: UInt32(truncatingIfNeeded: rank).littleEndian) { bytes += $0 }
    withUnsafeBytes(of: activity.ticks.littleEndian) { bytes += $0 }
    let phase = Array(activity.phase.utf8.prefix(Heartbeat.phaseCapacity))
    bytes.append(UInt8(phase.count))
    bytes += phase
    return bytes + [UInt8](repeating: 0, count: Heartbeat.byteCount - bytes.count)
  }

  init(_ kind: Kind, rank: Int, _ activity: Activity.Snapshot) {
    self.kind = kind
    self.rank = rank
    self.activity = activity
  }

  /// Parses a datagram; nil if it does not belong to this job.
  init?(_ bytes: ArraySlice<UInt8>, token: [UInt8]) {
    guard bytes.count == Heartbeat.byteCount, bytes.starts(with: token) else { return nil }
    let rest = Array(bytes.dropFirst(token.count))
    let count = Int(rest[14])
    guard let kind = Kind(rawValue: rest[0]), let wait = Activity.Wait(rawValue: rest[1] & 0x7f),
      count <= Heartbeat.phaseCapacity
    else { return nil }
    func number(_ range: Range<Int>) -> UInt64 { range.reversed().reduce(0) { $0 << 8 | UInt64(rest[$1]) } }
    self.kind = kind
    rank = Int(number(2..<6))
    activity = Activity.Snapshot(
      phase: String(decoding: rest[15..<15 + count], as: UTF8.self), ticks: number(6..<14), wait: wait,
      isBlocked: rest[1] & 0x80 != 0)
  }
}
