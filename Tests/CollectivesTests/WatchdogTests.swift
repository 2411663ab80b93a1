import Platform
import Testing

@testable import Collectives

@Suite struct WatchdogTests {
  private func working(_ ticks: UInt64, _ phase: String = "step 3") -> Activity.Snapshot {
    Activity.Snapshot(phase: phase, ticks: ticks, isWaiting: false)
  }
  private func waiting(_ ticks: UInt64) -> Activity.Snapshot {
    Activity.Snapshot(phase: "step 3", ticks: ticks, isWaiting: true)
  }

  /// Runs the clock from 0 in half seconds; `beat` says what each rank sends at a time, nil: nothing.
  private func verdict(ranks: Int, until end: Double, limit: Double, beat: (Int, Double) -> Activity.Snapshot?)
    -> WatchedRanks.Verdict?
  {
    var watched = WatchedRanks(count: ranks, now: 0)
    for tick in 0...Int(end * 2) {
      let now = Double(tick) / 2
      for rank in 0..<ranks { if let activity = beat(rank, now) { watched.heard(rank, activity, now: now) } }
      if let verdict = watched.verdict(now: now, limit: limit) { return verdict }
    }
    return nil
  }

  @Test func `a rank that falls silent is named with its last phase, and not before the limit`() {
    let found = verdict(ranks: 3, until: 60, limit: 10) { rank, now in
      rank == 2 && now > 20 ? nil : self.working(UInt64(now * 10), "step \(Int(now))")
    }
    #expect(found?.rank == 2 && found?.phase == "step 20" && found?.isAlive == false)
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
    #expect(found?.rank == 1 && found?.isAlive == true && found?.phase == "plan and data")
    #expect(found.map { $0.seconds > 50 } == true)
  }

  @Test func `work that advances is never too long, nor is work that others do not wait for`() {
    #expect(
      verdict(ranks: 2, until: 1000, limit: 5) { rank, now in
        rank == 1 ? self.working(UInt64(now)) : self.waiting(9)
      } == nil)
    #expect(verdict(ranks: 2, until: 1000, limit: 5) { _, _ in self.working(5) } == nil)
  }

  @Test func `when all wait, for a disk or for each other, no one is blamed`() {
    #expect(verdict(ranks: 2, until: 1000, limit: 5) { _, _ in self.waiting(5) } == nil)
  }

  @Test func `a watcher that was stopped itself judges no one by that time`() {
    var watched = WatchedRanks(count: 2, now: 0)
    watched.heard(1, working(1), now: 1)
    #expect(watched.verdict(now: 1, limit: 10) == nil)
    #expect(watched.verdict(now: 500, limit: 10) == nil)
    #expect(watched.verdict(now: 504, limit: 10) == nil)
    #expect(watched.verdict(now: 508, limit: 10) == nil)
    #expect(watched.verdict(now: 511, limit: 10)?.rank == 0)
  }

  @Test func `a rank that ended in order is not missed, and a limit of 0 is none`() {
    var watched = WatchedRanks(count: 2, now: 0)
    watched.ignore(1)
    for now in stride(from: 0.0, to: 100, by: 1) {
      watched.heard(0, working(UInt64(now)), now: now)
      #expect(watched.verdict(now: now, limit: 10) == nil)
    }
    #expect(verdict(ranks: 2, until: 100, limit: 0) { _, _ in nil } == nil)
  }

  @Test func `a datagram is read back, and none of another job or of other bytes`() {
    let token = [UInt8](1...16)
    let sent = Heartbeat(.beat, rank: 70_000, working(1 << 40, "teacher: ä"))
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

  @Test(arguments: ["-1", "soon", "1e3", "86401"]) func `a limit that is no number of seconds is refused`(text: String) {
    #expect(throws: RetortError.self) { try Watchdog.limit([Watchdog.variable: text]) }
  }

  @Test func `the limit is taken from the environment`() throws {
    #expect(try Watchdog.limit([:]) == nil)
    #expect(try Watchdog.limit([Watchdog.variable: "0"]) == 0)
    #expect(try Watchdog.limit([Watchdog.variable: "300"]) == 300)
  }
}
