import CSystem
import Foundation
import Platform
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// Detects a rank that has stopped, hangs or is cut off, and ends the whole job with exit code 7.
///
/// A thread of each rank, which never calls MPI, exchanges datagrams with rank 0 once a second. Rank 0 decides
/// (`WatchedRanks`): a rank that is silent for longer than the limit has stopped or is cut off; a rank whose work makes
/// no progress (`ProgressProbe`) for the progress limit while others wait for peers hangs; if all ranks wait, the job
/// is deadlocked. Rank 0 reports it once, tells all ranks, and ends. A rank that does not hear rank 0 for longer than
/// the limit ends itself, so that no process remains on a node that was cut off, and so does a rank whose launcher is
/// gone (`LauncherChain`). Losing messages for less than the limit has no effect.
package enum Watchdog {
  /// The variable that sets the silence limit in seconds and overrides the chain file; 0 turns the watchdog off.
  package static let variable = "RETORT_WATCHDOG_SECONDS"

  private static let limits = Mutex(WatchdogLimits())
  private static let isSetByEnvironment = Atomic<Bool>(false)
  private static let hasEnded = Atomic<Bool>(false)

  /// Sets the limits, unless the environment has set them; every rank passes the same.
  package static func setLimits(_ wanted: WatchdogLimits) {
    if isSetByEnvironment.load(ordering: .relaxed) { return }
    limits.withLock { $0 = wanted }
  }

  private static var currentLimits: WatchdogLimits { limits.withLock { $0 } }

  /// The limits from the environment, if it sets them; throws `.configuration` if the value is not a valid number.
  static func limits(_ environment: [String: String]) throws -> WatchdogLimits? {
    guard let text = environment[variable] else { return nil }
    guard let seconds = Int(text), WatchdogLimits.range.contains(seconds) else {
      throw RetortError(
        .configuration, "is \"\(text.prefix(40))\"", at: "environment variable \(variable)",
        remedy: "give a number of seconds from 0 (off) to \(WatchdogLimits.range.upperBound)")
    }
    return WatchdogLimits(silence: seconds)
  }

  /// Starts to watch the ranks of the whole job; call it on the thread that does the work; collective. Throws
  /// `.configuration` for a bad limit.
  ///
  /// - Returns: on rank 0, a warning about ranks that cannot exchange heartbeats.
  package static func start(
    on world: any Communicator, environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws -> [String] {
    let wanted = try world.agree { try limits(environment) }
    if let wanted {
      setLimits(wanted)
      isSetByEnvironment.store(true, ordering: .relaxed)
    }
    guard world.size > 1, wanted?.silence != 0 else { return [] }
    var port: UInt16 = 0
    let socket = rts_udp_open(&port)
    var own = [rts_address](repeating: rts_address(), count: 64)
    let found = rts_addresses(&own, own.count)
    // Rank 0's port, a token that identifies this job's datagrams, and rank 0's addresses.
    var greeting: [UInt64] = []
    if world.isFirst {
      greeting = [UInt64(socket < 0 ? 0 : port)] + (0..<2).map { _ in .random(in: 0 ... .max) }
      greeting += own.prefix(found).flatMap { [$0.high, $0.low] }
    }
    greeting = try world.broadcast(bytes: greeting.withUnsafeBytes { Array($0) }).withUnsafeBytes {
      $0.bindMemory(to: UInt64.self).map { $0 }
    }
    let token = greeting[1..<3].flatMap { word in withUnsafeBytes(of: word) { Array($0) } }
    let hosts = try world.allGather(text: world.hostName)
    let link = Link(socket: socket, token: token, rank: world.rank)
    let (chain, progress) = (LauncherChain(), ProgressProbe(of: pthread_self()))
    var answers = true
    if world.isFirst {
      if socket >= 0 { startThread { judge(link, hosts, chain, progress) } }
    } else {
      answers = socket >= 0 && greeting[0] > 0
      if answers {
        // Another host's loopback address means this host, so loopback is tried only on rank 0's host.
        let addresses = stride(from: 3, to: greeting.count - 1, by: 2)
          .map { rts_address(high: greeting[$0], low: greeting[$0 + 1]) }
          .filter { hosts[0] == world.hostName || rts_is_loopback($0) == 0 }
        answers = link.greet(addresses, port: UInt16(truncatingIfNeeded: greeting[0]))
      }
      if answers { startThread { follow(link, chain, progress) } }
    }
    let deaf = try world.allGather([answers ? Int32(1) : 0]).enumerated().flatMap { rank, flag in
      flag == [1] ? [] : [rank]
    }
    if world.isFirst { unheard.withLock { $0 = deaf } }
    return deaf.isEmpty || !world.isFirst
      ? []
      : [
        "\(ranksText(deaf)) cannot exchange heartbeats (UDP) with rank 0 on \(hosts[0]): one of them that stops will "
          + "not be noticed"
      ]
  }

  /// Ranks that rank 0 could not hear at the start.
  private static let unheard = Mutex<[Int]>([])

  /// Announces that this process ends normally.
  static func stop() {
    hasEnded.store(true, ordering: .relaxed)
    farewell.withLock { $0?() }
  }

  private static let farewell = Mutex<(@Sendable () -> Void)?>(nil)

  private static func startThread(_ body: @escaping @Sendable () -> Void) {
    let thread = Thread { body() }
    thread.name = "watchdog"
    thread.stackSize = 1 << 19
    thread.start()
  }

  private static var seconds: Double { Double(Trace.now) * 1e-9 }

  // MARK: rank 0

  private static func judge(_ link: Link, _ hosts: [String], _ chain: LauncherChain, _ progress: ProgressProbe) {
    var progress = progress
    var watched = WatchedRanks(count: hosts.count, now: seconds)
    var places: [Int: Link.Place] = [:]
    var nextBeat = 0.0
    while !hasEnded.load(ordering: .relaxed) {
      if let (message, place) = link.receive(milliseconds: 250), message.rank > 0, message.rank < hosts.count {
        places[message.rank] = place
        switch message.kind {
        case .hello: link.send(.beat, to: place)
        case .farewell: watched.ended(message.rank)
        case .beat, .verdict: watched.heard(message.rank, message.activity, now: seconds)
        }
      }
      let now = seconds
      if now >= nextBeat {
        nextBeat = now + 1
        places.values.forEach { link.send(.beat, to: $0) }
        if chain.isBroken() {
          for _ in 0..<3 { places.values.forEach { link.send(.verdict, to: $0) } }
          end("rank 0 on \(hosts[0]): its launcher is gone; the job ends")
        }
        watched.heard(0, progress.look(), now: now)
        for rank in unheard.withLock({ $0 }) { watched.ignore(rank) }
      }
      if let verdict = watched.verdict(now: now, currentLimits) {
        for _ in 0..<3 { places.values.forEach { link.send(.verdict, to: $0) } }
        if let launcher = chain.own { rts_end_launcher(launcher, 5) }
        end(text(of: verdict, hosts: hosts))
      }
    }
    for _ in 0..<3 { places.values.forEach { link.send(.farewell, to: $0) } }
  }

  static func text(of verdict: WatchedRanks.Verdict, hosts: [String]) -> String {
    let host = hosts[verdict.rank]
    let place = "rank \(verdict.rank) on \(host)"
    let time = Int(verdict.seconds.rounded())
    switch verdict.kind {
    case .silent:
      return "\(place): no sign of life for \(time) s; its last phase was \"\(verdict.phase)\". The process was "
        + "stopped, or its node or network is gone: look at \(host), and run the same command again to continue"
    case .stalled(let isBlocked):
      let how = isBlocked ? " (it waits for a disk and cannot be interrupted)" : ""
      return "\(place): its work has not advanced for \(time) s in the phase \"\(verdict.phase)\"\(how), and other "
        + "ranks wait for it. Look at the disk and the file system of \(host), and run the same command again to "
        + "continue"
    case .deadlocked:
      let shown = verdict.phases.prefix(4).map { phase in
        "\(ranksText(phase.ranks)) (\(hosts[phase.ranks[0]])) in the phase \"\(phase.name)\""
      }
      let rest = verdict.phases.count > 4 ? ", and others elsewhere" : ""
      return
        "all ranks wait for each other, and none has advanced for \(time) s: \(shown.joined(separator: ", "))\(rest). "
        + "Messages between them are lost, or one is held inside a call: look at the network (heartbeats pass), and "
        + "run the same command again to continue"
    }
  }

  /// "rank 3", "ranks 0, 2, 5", "ranks 0 to 63".
  static func ranksText(_ ranks: [Int]) -> String {
    guard ranks.count > 1 else { return "rank \(ranks.first ?? 0)" }
    let isRun = ranks.count > 2 && ranks.last == ranks[0] + ranks.count - 1
    if isRun { return "ranks \(ranks[0]) to \(ranks[ranks.count - 1])" }
    let rest = ranks.count > 8 ? ", … (\(ranks.count) in all)" : ""
    return "ranks \(ranks.prefix(8).map(String.init).joined(separator: ", "))\(rest)"
  }

  // MARK: the other ranks

  private static func follow(_ link: Link, _ chain: LauncherChain, _ progress: ProgressProbe) {
    var progress = progress
    var heard = seconds
    var lastLook = heard
    var nextBeat = 0.0
    farewell.withLock { $0 = { for _ in 0..<3 { link.send(.farewell) } } }
    while !hasEnded.load(ordering: .relaxed) {
      let message = link.receive(milliseconds: 250)?.0
      let now = seconds
      // This process itself was stopped and continued: the gap says nothing about rank 0.
      if now - lastLook > WatchedRanks.ownGap { heard = now }
      lastLook = now
      switch message?.kind {
      case .verdict: end(nil)
      case .farewell: return
      case .beat, .hello: heard = now
      case nil: break
      }
      if now >= nextBeat {
        nextBeat = now + 1
        link.send(.beat, progress.look())
        if chain.isBroken() { end("rank \(link.rank) on \(currentHostName()): its launcher is gone; it ends") }
      }
      let limit = Double(currentLimits.silence)
      // The ranks end at different times: the first one's end makes the launcher end the others without a message.
      let patience = limit + 1.5 * Double(min(link.rank - 1, 8))
      if limit > 0, now - heard > patience {
        end(
          "rank 0: no sign of life for \(Int((now - heard).rounded())) s, says rank \(link.rank) on "
            + "\(currentHostName()), whose phase is \"\(Activity.now.phase)\". Rank 0 was stopped, or the network "
            + "between them is gone; run the same command again to continue")
      }
    }
  }

  /// Ends this process at once: MPI belongs to another thread, and its peers may never answer.
  private static func end(_ text: String?) -> Never {
    if let text {
      let line = Array("retort: \(text).\n".utf8)
      _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
    _exit(RetortError.Kind.peer.rawValue)
  }
}
