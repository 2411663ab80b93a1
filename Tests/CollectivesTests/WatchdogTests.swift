import CSystem
import Foundation
import Platform
import Testing

@testable import Collectives

@Suite struct WatchdogTests {
  private func working(_ ticks: UInt64, _ phase: String = "step 3") -> Activity.Snapshot {
    Activity.Snapshot(phase: phase, ticks: ticks)
  }
  private func waiting(_ ticks: UInt64, _ wait: Activity.Wait = .peers, _ phase: String = "step 3") -> Activity.Snapshot
  {
    Activity.Snapshot(phase: phase, ticks: ticks, wait: wait)
  }

  /// Runs the clock from 0 in half seconds; `beat` says what each rank sends at a time, nil: nothing.
  private func verdict(
    ranks: Int, until end: Double, limit: Int, phases: [String: Int] = [:], beat: (Int, Double) -> Activity.Snapshot?
  ) -> WatchedRanks.Verdict? {
    let limits = WatchdogLimits(silence: limit, phases: phases)
    var watched = WatchedRanks(count: ranks, now: 0)
    for tick in 0...Int(end * 2) {
      let now = Double(tick) / 2
      for rank in 0..<ranks { if let activity = beat(rank, now) { watched.heard(rank, activity, now: now) } }
      if let verdict = watched.verdict(now: now, limits) { return verdict }
    }
    return nil
  }

  @Test func `a rank that falls silent is named with its last phase, and not before the limit`() {
    let found = verdict(ranks: 3, until: 60, limit: 10) { rank, now in
      rank == 2 && now > 20 ? nil : self.working(UInt64(now * 10), "step \(Int(now))")
    }
    #expect(found?.rank == 2 && found?.phase == "step 20" && found?.kind == .silent)
    #expect(found.map { $0.seconds > 10 && $0.seconds < 11.1 } == true)
  }

  @Test func `a silence that is shorter than the limit is forgiven`() {
    let found = verdict(ranks: 2, until: 200, limit: 15) { rank, now in
      rank == 1 && Int(now) % 20 < 13 ? nil : self.working(UInt64(now * 10))
    }
    #expect(found == nil)
  }

  @Test func `a rank that does not advance while others wait for it hangs`() {
    let found = verdict(ranks: 2, until: 200, limit: 10) { rank, now in
      rank == 1 ? self.working(5, "plan and data") : self.waiting(9)
    }
    #expect(found?.rank == 1 && found?.kind == .stalled(isBlocked: false) && found?.phase == "plan and data")
    #expect(found.map { $0.seconds > 50 } == true)
  }

  @Test func `work that advances is never too long, nor is work that others do not wait for`() {
    #expect(
      verdict(ranks: 2, until: 1000, limit: 5) { rank, now in
        rank == 1 ? self.working(UInt64(now)) : self.waiting(9)
      } == nil)
    #expect(verdict(ranks: 2, until: 1000, limit: 5) { _, _ in self.working(5) } == nil)
  }

  @Test func `a rank that waits for a disk is named, and that it does`() {
    let found = verdict(ranks: 2, until: 200, limit: 10) { rank, now in
      rank == 1 ? Activity.Snapshot(phase: "commit", ticks: 5, isBlocked: true) : self.waiting(9)
    }
    #expect(found?.kind == .stalled(isBlocked: true) && found?.rank == 1)
  }

  @Test func `what is outside of the job may take as long as it likes`() {
    #expect(
      verdict(ranks: 3, until: 2000, limit: 5) { rank, _ in self.waiting(5, rank == 1 ? .outside : .peers) } == nil)
  }

  @Test func `when all wait for each other and none advances, all are named with their phases`() {
    let found = verdict(ranks: 4, until: 200, limit: 10) { rank, now in
      self.waiting(now < 20 ? UInt64(now) : 20, .peers, rank == 2 ? "evaluation" : "step 7")
    }
    #expect(found?.kind == .deadlocked)
    #expect(found.map { $0.seconds > 50 && $0.seconds < 51.1 } == true)
    #expect(found?.phases.map(\.name) == ["step 7", "evaluation"])
    #expect(found?.phases.map(\.ranks) == [[0, 1, 3], [2]])
    let text = found.map { Watchdog.text(of: $0, hosts: ["a", "b", "c", "d"]) } ?? ""
    #expect(text.contains("ranks 0, 1, 3 (a) in the phase \"step 7\", rank 2 (c) in the phase \"evaluation\""))
  }

  @Test func `all may wait while messages arrive, and while one rank cannot be heard`() {
    #expect(verdict(ranks: 2, until: 1000, limit: 5) { rank, now in self.waiting(UInt64(now / 20)) } == nil)
    var watched = WatchedRanks(count: 3, now: 0)
    watched.ignore(2)
    for now in stride(from: 0.0, to: 500, by: 1) {
      for rank in 0..<2 { watched.heard(rank, waiting(1), now: now) }
      #expect(watched.verdict(now: now, WatchdogLimits(silence: 10)) == nil)
    }
  }

  @Test func `a phase can have a limit of its own`() {
    func found(_ phase: String, _ phases: [String: Int]) -> Double? {
      verdict(ranks: 2, until: 400, limit: 10, phases: phases) { rank, _ in
        rank == 1 ? self.working(5, phase) : self.waiting(9)
      }?.seconds
    }
    #expect(found("step 12", ["step": 20]).map { $0 > 20 && $0 < 22 } == true)
    #expect(found("plan and data", ["step": 20]).map { $0 > 50 && $0 < 52 } == true)
    #expect(found("plan and data", ["plan_and_data": 300]).map { $0 > 300 } == true)
    #expect(found("checkpoint", ["checkpoint": 0]) == nil)
  }

  @Test func `every phase with a limit is one that the program names`() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("Sources")
    var text = ""
    for case let file as URL in FileManager.default.enumerator(at: root, includingPropertiesForKeys: nil)!
    where file.pathExtension == "swift" { text += try String(contentsOf: file, encoding: .utf8) }
    for name in WatchdogLimits.phaseNames where name != "step" && name != "start" {
      #expect(text.contains("Trace.span(\"\(name.replacing("_", with: " "))\")"), "\(name)")
    }
  }

  @Test func `a watcher that was stopped itself judges no one by that time`() {
    let limits = WatchdogLimits(silence: 10)
    var watched = WatchedRanks(count: 2, now: 0)
    watched.heard(1, working(1), now: 1)
    #expect(watched.verdict(now: 1, limits) == nil)
    #expect(watched.verdict(now: 500, limits) == nil)
    #expect(watched.verdict(now: 504, limits) == nil)
    #expect(watched.verdict(now: 508, limits) == nil)
    #expect(watched.verdict(now: 511, limits)?.rank == 0)
  }

  @Test func `a rank that ended in order is not missed, and a limit of 0 is none`() {
    var watched = WatchedRanks(count: 2, now: 0)
    watched.ended(1)
    for now in stride(from: 0.0, to: 100, by: 1) {
      watched.heard(0, working(UInt64(now)), now: now)
      #expect(watched.verdict(now: now, WatchdogLimits(silence: 10)) == nil)
    }
    #expect(verdict(ranks: 2, until: 100, limit: 0) { _, _ in nil } == nil)
  }

  @Test func `a datagram is read back, and none of another job or of other bytes`() {
    let token = [UInt8](1...16)
    let sent = Heartbeat(
      .beat, rank: 70_000,
      Activity.Snapshot(
        phase: "teacher: ä", ticks: 1 << 40, wait: .outside, isBlocked: true))
    let bytes = sent.bytes(token: token)
    #expect(bytes.count == Heartbeat.byteCount)
    #expect(Heartbeat(bytes[...], token: token) == sent)
    #expect(Heartbeat(bytes[...], token: [UInt8](2...17)) == nil)
    #expect(Heartbeat(bytes.dropLast(), token: token) == nil)
    var strange = bytes
    strange[16] = 99
    #expect(Heartbeat(strange[...], token: token) == nil)
    strange = bytes
    strange[30] = 255
    #expect(Heartbeat(strange[...], token: token) == nil)
  }

  @Test(arguments: ["-1", "soon", "1e3", "604801"]) func `a limit that is no number of seconds is refused`(text: String)
  {
    #expect(throws: RetortError.self) { try Watchdog.limits([Watchdog.variable: text]) }
  }

  @Test func `the limit is taken from the environment`() throws {
    #expect(try Watchdog.limits([:]) == nil)
    #expect(try Watchdog.limits([Watchdog.variable: "0"])?.silence == 0)
    #expect(try Watchdog.limits([Watchdog.variable: "300"]) == WatchdogLimits(silence: 300, progress: 1500))
  }

  // MARK: what a process does without a word

  @Test func `arithmetic is progress unless the rank waits, bytes always are`() {
    #expect(ProgressProbe.counts(arithmetic: 0.5, bytes: 0, .none))
    #expect(!ProgressProbe.counts(arithmetic: 0.5, bytes: 0, .peers))
    #expect(!ProgressProbe.counts(arithmetic: 0.001, bytes: 500, .none))
    #expect(ProgressProbe.counts(arithmetic: 0, bytes: 1 << 20, .peers))
  }

  @Test func `a thread that computes advances without a word`() async {
    let evidence = await withCheckedContinuation { (done: CheckedContinuation<UInt64, Never>) in
      // On a thread of its own: those of the test runner work for others meanwhile.
      Thread {
        var probe = ProgressProbe(of: pthread_self())
        let end = Date(timeIntervalSinceNow: 0.2)
        var sum = 0.0
        while Date() < end || sum < 1 { sum += sum.squareRoot() + 1 }
        _ = probe.look()
        done.resume(returning: probe.evidence)
      }.start()
    }
    #expect(evidence == 1)
  }

  // MARK: who launched it

  private func chain(_ records: [Int32: ProcessRecord]) -> LauncherChain {
    LauncherChain(parent: 10) { records[$0] }
  }
  private let wrapped: [Int32: ProcessRecord] = [
    10: ProcessRecord(name: "sh", parent: 9, start: 100), 9: ProcessRecord(name: "python3", parent: 8, start: 90),
    8: ProcessRecord(name: "mpirun", parent: 7, start: 80), 7: ProcessRecord(name: "bash", parent: 1, start: 70),
  ]

  @Test func `wrappers between a rank and mpirun are watched, and mpirun is the launcher`() {
    let found = chain(wrapped)
    #expect(found.links.map(\.process) == [10, 9, 8])
    #expect(found.own == 8)
    #expect(!found.isBroken(parent: 10, exists: { _ in true }))
    #expect(found.isBroken(parent: 1, exists: { _ in true }))
  }

  @Test func `a launcher that is gone, a zombie, or another process of the same id breaks the chain`() {
    for now in [
      nil, ProcessRecord(name: "mpirun", state: "Z", parent: 7, start: 80),
      ProcessRecord(name: "cat", parent: 7, start: 4000),
    ] {
      let records = Records(wrapped)
      let found = LauncherChain(parent: 10) { records.values[$0] }
      records.values[8] = now
      #expect(found.isBroken(parent: 10, exists: { _ in false }))
    }
    // /proc that cannot be read any more says nothing.
    let records = Records(wrapped)
    let found = LauncherChain(parent: 10) { records.values[$0] }
    records.values = [:]
    #expect(!found.isBroken(parent: 10, exists: { _ in true }))
  }

  private final class Records: @unchecked Sendable {
    var values: [Int32: ProcessRecord]
    init(_ values: [Int32: ProcessRecord]) { self.values = values }
  }

  @Test func `a batch system's daemon is watched and never ended, an unknown launcher neither`() {
    let slurm = chain([
      10: ProcessRecord(name: "slurmstepd", parent: 1, start: 5)
    ])
    #expect(slurm.links.map(\.process) == [10] && slurm.own == nil)
    let unknown = chain([
      10: ProcessRecord(name: "sh", parent: 9, start: 5), 9: ProcessRecord(name: "launch", parent: 1, start: 4),
    ])
    #expect(unknown.links.map(\.process) == [10] && unknown.own == nil)
    #expect(chain([:]).links.isEmpty)
  }

  @Test func `a record of a process is read whatever the process is called`() {
    let tail = (3...21).map(String.init).joined(separator: " ")
    let record = ProcessRecord("12 (a) b (c)) D 7 \(tail)")
    #expect(record?.name == "a) b (c)" && record?.state == "D" && record?.parent == 7 && record?.start == 20)
    #expect(ProcessRecord("") == nil && ProcessRecord("1 (x) S 2") == nil)
    #expect(ProcessRecord.of(getpid())?.parent == getppid())
  }

  // MARK: addresses

  @Test(arguments: [false, true]) func `datagrams go over IPv4 and over IPv6`(isSix: Bool) throws {
    var (port, other) = (UInt16(0), UInt16(0))
    let (zero, one) = (rts_udp_open(&port), rts_udp_open(&other))
    defer { for socket in [zero, one] { close(socket) } }
    var all = [rts_address](repeating: rts_address(), count: 64)
    let loopback = all.indices.prefix(rts_addresses(&all, all.count)).map { all[$0] }.filter {
      rts_is_loopback($0) != 0 && ($0.high == 0 && UInt32(truncatingIfNeeded: $0.low) == 0) == isSix
    }
    // A machine without IPv6 has no such address.
    guard let address = loopback.first else { return }
    let token = [UInt8](1...16)
    let (judge, follower) = (Link(socket: zero, token: token, rank: 0), Link(socket: one, token: token, rank: 1))
    follower.send(.hello, working(3), to: Link.Place(address, port: port))
    let (message, place) = try #require(judge.receive(milliseconds: 2000))
    #expect(message.kind == .hello && message.rank == 1 && place == Link.Place(address, port: other))
    judge.send(.beat, to: place)
    #expect(follower.greet([address], port: port))
    judge.send(.verdict, to: place)
    let heard = try #require(follower.receive(milliseconds: 2000))
    #expect([.beat, .verdict].contains(heard.0.kind))
  }
}
