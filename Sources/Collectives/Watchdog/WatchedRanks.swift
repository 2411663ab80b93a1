import Platform

/// What rank 0 knows of all ranks from their heartbeats, and what follows from it; time is given, in seconds.
struct WatchedRanks {
  /// Why a job has to end.
  struct Verdict: Equatable {
    enum Kind: Equatable {
      /// No heartbeat comes.
      case silent
      /// Heartbeats come, but the work does not advance while others wait for it.
      case stalled(isBlocked: Bool)
      /// All ranks wait for each other.
      case deadlocked
    }

    let kind: Kind
    /// The rank at fault; of a deadlock the first.
    let rank: Int
    /// Seconds without a sign of life, or without progress.
    let seconds: Double
    /// The last phase that the rank reported.
    let phase: String
    /// Of a deadlock all phases, with the ranks that are in each, the first rank's first.
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

  /// A watcher that was not run for this many seconds was stopped itself, and judges nobody by that time.
  static let ownGap = 5.0

  private var ranks: [Watched]
  private var lastLook: Double

  init(count: Int, now: Double) {
    ranks = Array(repeating: Watched(heard: now, advanced: now), count: count)
    lastLook = now
  }

  /// A heartbeat has come.
  mutating func heard(_ rank: Int, _ activity: Activity.Snapshot, now: Double) {
    guard ranks.indices.contains(rank) else { return }
    ranks[rank].heard = now
    if activity.ticks != ranks[rank].activity.ticks { ranks[rank].advanced = now }
    ranks[rank].waitsSince = activity.wait == .peers ? (ranks[rank].waitsSince ?? now) : nil
    ranks[rank].activity = activity
  }

  /// A rank has ended in order: nothing is concluded from its silence.
  mutating func ended(_ rank: Int) {
    guard ranks.indices.contains(rank) else { return }
    ranks[rank].hasEnded = true
    ranks[rank].isWatched = false
  }

  /// A rank cannot be heard from the start: nothing is concluded from its silence, nor from what all others do.
  mutating func ignore(_ rank: Int) { if ranks.indices.contains(rank) { ranks[rank].isWatched = false } }

  /// The rank that keeps the job from going on, if one does, or that all wait.
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

  /// A rank that could work and does not, while another waits for as long as the phase of the first allows.
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

  /// All ranks wait for peers, and none has advanced for longer than the phase of any of them allows.
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
