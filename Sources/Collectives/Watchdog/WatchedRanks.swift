import Platform

/// What rank 0 knows of all ranks from their heartbeats, and what follows from it; time is given, in seconds.
struct WatchedRanks {
  /// Why a job has to end.
  struct Verdict: Equatable {
    let rank: Int
    /// Seconds without a sign of life, or without progress.
    let seconds: Double
    let phase: String
    /// Whether heartbeats still come: the process runs, and its work does not advance while others wait for it.
    let isAlive: Bool
  }

  private struct Watched {
    var heard: Double
    var advanced: Double
    var waitsSince: Double?
    var activity = Activity.Snapshot(phase: "start", ticks: 0, isWaiting: false)
    var isWatched = true
  }

  /// Work that does not advance may be a slow disk or a large layer: it has this many times the limit of silence.
  static let patience = 5.0
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
    ranks[rank].waitsSince = activity.isWaiting ? (ranks[rank].waitsSince ?? now) : nil
    ranks[rank].activity = activity
  }

  /// A rank has ended in order, or cannot be heard from the start: nothing is concluded from its silence.
  mutating func ignore(_ rank: Int) { if ranks.indices.contains(rank) { ranks[rank].isWatched = false } }

  /// The rank that keeps the job from going on, if one does.
  ///
  /// - Parameter limit: seconds of silence; 0: none is too long.
  mutating func verdict(now: Double, limit: Double) -> Verdict? {
    defer { lastLook = now }
    if now - lastLook > WatchedRanks.ownGap {
      for index in ranks.indices {
        ranks[index].heard = now
        ranks[index].advanced = now
        if ranks[index].waitsSince != nil { ranks[index].waitsSince = now }
      }
    }
    guard limit > 0 else { return nil }
    for (rank, watched) in ranks.enumerated() where watched.isWatched && now - watched.heard > limit {
      return Verdict(
        rank: rank, seconds: now - watched.heard, phase: watched.activity.phase, isAlive: false)
    }
    let long = limit * WatchedRanks.patience
    // Nobody is late while nobody waits.
    guard ranks.contains(where: { $0.isWatched && $0.waitsSince.map { now - $0 > long } ?? false }) else { return nil }
    for (rank, watched) in ranks.enumerated()
    where watched.isWatched && watched.waitsSince == nil && now - watched.advanced > long {
      return Verdict(rank: rank, seconds: now - watched.advanced, phase: watched.activity.phase, isAlive: true)
    }
    return nil
  }
}
