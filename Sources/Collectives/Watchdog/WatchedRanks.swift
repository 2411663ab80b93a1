import Platform

/// The state of all ranks as rank 0 knows it from their heartbeats, and the decision to end the job; callers pass the
/// time in seconds.
struct WatchedRanks {
  /// Why the job must end.
  struct Verdict: Equatable {
    enum Kind: Equatable {
      /// No heartbeat arrives.
      case silent
      /// Heartbeats arrive, but the rank makes no progress while others wait for it.
      case stalled(isBlocked: Bool)
      /// All ranks wait for each other.
      case deadlocked
    }

    let kind: Kind
    /// The rank at fault; for a deadlock the first rank.
    let rank: Int
    /// Seconds without a heartbeat, or without progress.
    let seconds: Double
    /// The last phase that the rank reported.
    let phase: String
    /// For a deadlock all phases with the ranks in each, beginning with the first rank's phase.
    var phases: [(name: String, ranks: [Int])] = []

    static func == (a: Verdict, b: Verdict) -> Bool {
      a.kind == b.kind && a.rank == b.rank && a.seconds == b.seconds && a.phase == b.phase
        && a.phases.elementsEqual(b.phases) { $0.name == $1.name && $0.ranks == $1.ranks }
    }
  }

  private struct Watched {
    var heard: Double
    var advanced: Double
    var waitsSince: Double?
    var activity = Activity.Snapshot(phase: "start", ticks: 0)
    var isWatched = true
    var hasEnded = false
  }

  /// If rank 0 has not run for this many seconds it was stopped itself, and does not count that time against others.
  static let ownGap = 5.0

  private var ranks: [Watched]
  private var lastLook: Double

  init(count: Int, now: Double) {
    ranks = Array(repeating: Watched(heard: now, advanced: now), count: count)
    lastLook = now
  }

  /// Records a heartbeat.
  mutating func heard(_ rank: Int, _ activity: Activity.Snapshot, now: Double) {
    guard ranks.indices.contains(rank) else { return }
    ranks[rank].heard = now
    if activity.ticks != ranks[rank].activity.ticks { ranks[rank].advanced = now }
    ranks[rank].waitsSince = activity.wait == .peers ? (ranks[rank].waitsSince ?? now) : nil
    ranks[rank].activity = activity
  }

  /// Records that a rank has ended normally: its silence is ignored.
  mutating func ended(_ rank: Int) {
    guard ranks.indices.contains(rank) else { return }
    ranks[rank].hasEnded = true
    ranks[rank].isWatched = false
  }

  /// Records that a rank cannot be heard: its silence is ignored, and no deadlock is concluded without its state.
  mutating func ignore(_ rank: Int) { if ranks.indices.contains(rank) { ranks[rank].isWatched = false } }

  /// The reason to end the job, if there is one.
  mutating func verdict(now: Double, _ limits: WatchdogLimits) -> Verdict? {
    defer { lastLook = now }
    if now - lastLook > WatchedRanks.ownGap {
      for index in ranks.indices {
        ranks[index].heard = now
        ranks[index].advanced = now
        if ranks[index].waitsSince != nil { ranks[index].waitsSince = now }
      }
    }
    guard limits.silence > 0 else { return nil }
    return silent(now, Double(limits.silence)) ?? stalled(now, limits) ?? deadlocked(now, limits)
  }

  private func silent(_ now: Double, _ limit: Double) -> Verdict? {
    let found = ranks.firstIndex { $0.isWatched && now - $0.heard > limit }
    return found.map { verdict(.silent, $0, now - ranks[$0].heard) }
  }

  /// A rank that does not wait and makes no progress for the limit of its phase, while another rank waits as long.
  private func stalled(_ now: Double, _ limits: WatchdogLimits) -> Verdict? {
    guard let longest = ranks.filter(\.isWatched).compactMap({ $0.waitsSince }).min() else { return nil }
    let found = ranks.firstIndex { rank in
      guard rank.isWatched, rank.activity.wait == .none, let limit = limits.progress(in: rank.activity.phase) else {
        return false
      }
      return now - rank.advanced > limit && now - longest > limit
    }
    return found.map { index in
      verdict(.stalled(isBlocked: ranks[index].activity.isBlocked), index, now - ranks[index].advanced)
    }
  }

  /// All ranks wait for peers, and none has made progress for longer than the limit of its phase.
  private func deadlocked(_ now: Double, _ limits: WatchdogLimits) -> Verdict? {
    let running = ranks.indices.filter { !ranks[$0].hasEnded }
    guard let first = running.first else { return nil }
    let stands = running.allSatisfy { index in
      let rank = ranks[index]
      guard rank.isWatched, let since = rank.waitsSince, let limit = limits.progress(in: rank.activity.phase) else {
        return false
      }
      return now - since > limit && now - rank.advanced > limit
    }
    guard stands else { return nil }
    var phases: [(name: String, ranks: [Int])] = []
    for index in running {
      let name = ranks[index].activity.phase
      if let place = phases.firstIndex(where: { $0.name == name }) {
        phases[place].ranks.append(index)
      } else {
        phases.append((name, [index]))
      }
    }
    let seconds = running.map { now - max(ranks[$0].advanced, ranks[$0].waitsSince ?? now) }.min() ?? 0
    var result = verdict(.deadlocked, first, seconds)
    result.phases = phases
    return result
  }

  private func verdict(_ kind: Verdict.Kind, _ rank: Int, _ seconds: Double) -> Verdict {
    Verdict(kind: kind, rank: rank, seconds: seconds, phase: ranks[rank].activity.phase)
  }
}
