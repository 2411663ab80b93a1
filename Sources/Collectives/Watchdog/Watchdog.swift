import CSystem
import Foundation
import Platform
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// Notices a rank that stopped, or that no message reaches any more, and ends the whole job with exit code 7.
///
/// A thread of each rank, which never calls MPI, exchanges datagrams with rank 0 once a second. Rank 0 judges: a rank
/// that is silent for longer than the limit has stopped or is cut off; one whose work does not advance for five times
/// that, while others wait for peers, hangs. It says so once, tells all ranks, and ends. A rank that does not hear rank
/// 0 for longer than the limit ends itself, so that nothing is left on a node that was cut off, and so does one whose
/// launcher is gone. Messages that are lost for less than the limit cost nothing.
public enum Watchdog {
  /// The variable that sets the limit of silence in seconds; 0 turns the watchdog off.
  public static let variable = "RETORT_WATCHDOG_SECONDS"
  /// The limit where nothing else is said, seconds.
  public static let defaultLimit = 120

  private static let limit = Atomic<Int>(defaultLimit)
  private static let hasEnded = Atomic<Bool>(false)

  /// Changes the limit of silence, in seconds; 0: no silence is too long. Every rank says the same.
  public static func setLimit(_ seconds: Int) { limit.store(seconds, ordering: .relaxed) }

  /// The limit that the environment asks for; throws `.configuration` for what is no number of seconds.
  static func limit(_ environment: [String: String]) throws -> Int? {
    guard let text = environment[variable] else { return nil }
    guard let seconds = Int(text), (0...86_400).contains(seconds) else {
      throw RetortError(
        .configuration, "is \"\(text.prefix(40))\"", at: "environment variable \(variable)",
        remedy: "give a number of seconds from 0 (off) to 86400")
    }
    return seconds
  }

  /// Starts to watch the ranks of the whole job; collective. Throws `.configuration` for a bad limit.
  ///
  /// - Returns: what the user should know, on rank 0: ranks that cannot exchange heartbeats.
  public static func start(
    on world: any Communicator, environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws -> [String] {
    let wanted = try world.agree { try limit(environment) }
    if let wanted { setLimit(wanted) }
    guard world.size > 1, wanted != 0 else { return [] }
    var port: UInt16 = 0
    let socket = rts_udp_open(&port)
    var own = [UInt32](repeating: 0, count: 64)
    let found = rts_addresses(&own, own.count)
    own = Array(own.prefix(found))
    // Rank 0's port, its addresses, and a token that tells this job's datagrams from others'.
    var greeting: [UInt32] = []
    if world.isFirst {
      greeting = [UInt32(socket < 0 ? 0 : port)] + (0..<4).map { _ in .random(in: 0 ... .max) } + own
    }
    greeting = try world.broadcast(bytes: greeting.withUnsafeBytes { Array($0) }).withUnsafeBytes {
      $0.bindMemory(to: UInt32.self).map { $0 }
    }
    let token = greeting[1..<5].flatMap { word in withUnsafeBytes(of: word) { Array($0) } }
    let hosts = try world.allGather(text: world.hostName)
    let link = Link(socket: socket, token: token, rank: world.rank)
    var answers = true
    if world.isFirst {
      if socket >= 0 { startThread { judge(link, hosts) } }
    } else {
      answers = socket >= 0 && greeting[0] > 0
      if answers {
        // The addresses of another host may mean this one too: loopback is tried where the host is the same.
        let addresses = greeting[5...].filter { hosts[0] == world.hostName || $0 & 0xff != 127 }
        answers = link.greet(addresses, port: UInt16(truncatingIfNeeded: greeting[0]))
      }
      if answers { startThread { follow(link) } }
    }
    let deaf = try world.allGather([answers ? Int32(1) : 0]).enumerated().flatMap { rank, flag in
      flag == [1] ? [] : [rank]
    }
    if world.isFirst { unheard.withLock { $0 = deaf } }
    return deaf.isEmpty || !world.isFirst
      ? []
      : [
        "ranks \(deaf.map(String.init).joined(separator: ", ")) cannot exchange heartbeats (UDP) with rank 0 on "
          + "\(hosts[0]): one of them that stops will not be noticed"
      ]
  }

  /// Ranks that rank 0 does not hear from the start.
  private static let unheard = Mutex<[Int]>([])

  /// Says that this process ends in order.
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

  private static func judge(_ link: Link, _ hosts: [String]) {
    let parent = getppid()
    var watched = WatchedRanks(count: hosts.count, now: seconds)
    var places: [Int: Link.Place] = [:]
    var nextBeat = 0.0
    while !hasEnded.load(ordering: .relaxed) {
      if let (message, place) = link.receive(milliseconds: 250), message.rank > 0, message.rank < hosts.count {
        places[message.rank] = place
        switch message.kind {
        case .hello: link.send(.beat, to: place)
        case .farewell: watched.ignore(message.rank)
        case .beat, .verdict: watched.heard(message.rank, message.activity, now: seconds)
        }
      }
      let now = seconds
      if now >= nextBeat {
        nextBeat = now + 1
        places.values.forEach { link.send(.beat, to: $0) }
        if getppid() != parent {
          for _ in 0..<3 { places.values.forEach { link.send(.verdict, to: $0) } }
          end("rank 0 on \(hosts[0]): its launcher is gone; the job ends")
        }
        watched.heard(0, Activity.now, now: now)
        for rank in unheard.withLock({ $0 }) { watched.ignore(rank) }
      }
      if let verdict = watched.verdict(now: now, limit: Double(limit.load(ordering: .relaxed))) {
        for _ in 0..<3 { places.values.forEach { link.send(.verdict, to: $0) } }
        rts_end_launcher(parent, 5)
        end(text(of: verdict, host: hosts[verdict.rank]))
      }
    }
    for _ in 0..<3 { places.values.forEach { link.send(.farewell, to: $0) } }
  }

  static func text(of verdict: WatchedRanks.Verdict, host: String) -> String {
    let place = "rank \(verdict.rank) on \(host)"
    let time = Int(verdict.seconds.rounded())
    return verdict.isAlive
      ? "\(place): its work has not advanced for \(time) s in the phase \"\(verdict.phase)\", and other ranks wait for "
        + "it. Look at the disk and the file system of \(host), and run the same command again to continue"
      : "\(place): no sign of life for \(time) s; its last phase was \"\(verdict.phase)\". The process was stopped, or "
        + "its node or network is gone: look at \(host), and run the same command again to continue"
  }

  // MARK: the other ranks

  private static func follow(_ link: Link) {
    let parent = getppid()
    var heard = seconds
    var lastLook = heard
    var nextBeat = 0.0
    farewell.withLock { $0 = { for _ in 0..<3 { link.send(.farewell) } } }
    while !hasEnded.load(ordering: .relaxed) {
      let message = link.receive(milliseconds: 250)?.0
      let now = seconds
      // Stopped and continued itself: the time without a run says nothing of rank 0.
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
        link.send(.beat)
        if getppid() != parent { end("rank \(link.rank) on \(currentHostName()): its launcher is gone; it ends") }
      }
      let limit = Double(limit.load(ordering: .relaxed))
      // The ranks end one after the other: the first one's end lets the launcher end the others, in silence.
      let patience = limit + 1.5 * Double(min(link.rank - 1, 8))
      if limit > 0, now - heard > patience {
        end(
          "rank 0: no sign of life for \(Int((now - heard).rounded())) s, says rank \(link.rank) on "
            + "\(currentHostName()), whose phase is \"\(Activity.now.phase)\". Rank 0 was stopped, or the network "
            + "between them is gone; run the same command again to continue")
      }
    }
  }

  /// Ends this process at once: MPI is another thread's, and its peers may never answer.
  private static func end(_ text: String?) -> Never {
    if let text {
      let line = Array("retort: \(text).\n".utf8)
      _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
    _exit(RetortError.Kind.peer.rawValue)
  }
}
