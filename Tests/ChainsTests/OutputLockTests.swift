import Foundation
import Platform
import TestSupport
import Testing

@testable import Chains

/// The lock of an output directory, with holders that are made up.
@Suite struct OutputLockTests {
  /// A directory that goes away with the test.
  private final class Place: Sendable {
    let path: String
    init() throws { path = try Shared.temporaryDirectory("lock") }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// The files in training/.
    var names: [String] { (try? listDirectory(path + "/training")) ?? [] }

    func take(_ holder: LockHolder, breaking: Bool = false, patience: Double = 0.6) throws -> OutputLock {
      var ended: Set<String> = []
      return try OutputLock.take(path, as: holder, breaking: breaking, ended: &ended, patience: patience)
    }
  }

  private func refusal(_ body: () throws -> Void) -> RetortError? {
    do {
      try body()
      return nil
    } catch { return RetortError.wrap(error) }
  }

  @Test func `one of two holders gets a directory, the other hears of it`() throws {
    let place = try Place()
    let lock = try place.take(LockHolder(command: "retort run a.yaml"))
    let refused = refusal { _ = try place.take(LockHolder(command: "retort run b.yaml")) }
    #expect(refused?.kind == .preflight)
    #expect(refused?.what.contains("pid \(getpid()) on ") == true)
    #expect(refused?.what.contains("retort run a.yaml") == true)
    #expect(refused?.remedy?.contains("--break-lock") == true)
    #expect(place.names == ["lock.1"])
    try lock.requireHeld()
    lock.release()
    #expect(place.names == [])
    _ = try place.take(LockHolder(command: "retort run b.yaml"))
  }

  @Test func `a directory that was made for the lock alone goes with it`() throws {
    let place = try Place()
    var ended: Set<String> = []
    let lock = try OutputLock.take(place.path + "/a/b", as: LockHolder(command: ""), ended: &ended)
    lock.release()
    #expect(try listDirectory(place.path) == [])
  }

  @Test func `the lock of a process that is gone is taken over at once`() throws {
    let place = try Place()
    var gone = LockHolder(command: "retort run")
    gone.ticks += 1
    _ = try place.take(gone)
    let start = ContinuousClock.now
    let lock = try place.take(LockHolder(command: "retort run"), patience: 60)
    #expect((ContinuousClock.now - start).seconds < 2)
    #expect(place.names == ["lock.2"])
    try lock.requireHeld()
  }

  @Test func `of another machine, or another space of process numbers, signs of life decide`() throws {
    for change in [
      { (holder: inout LockHolder) in holder.boot = "another" }, { $0.processSpace = "pid:[1]" }, { $0.boot = "" },
    ] {
      let place = try Place()
      var other = LockHolder(command: "retort run")
      change(&other)
      let lock = try place.take(other)
      let pulse = Thread { for count in 1..<100 { usleep(100_000); lock.giveSign(count) } }
      pulse.start()
      #expect(refusal { _ = try place.take(LockHolder(command: "")) }?.kind == .preflight)
      lock.release()
    }
    let place = try Place()
    var other = LockHolder(command: "retort run")
    other.boot = "another"
    let silent = try place.take(other)
    let taken = try place.take(LockHolder(command: ""))
    try taken.requireHeld()
    #expect(refusal { try silent.requireHeld() }?.kind == .checkpoint)
  }

  @Test func `a broken lock fences the run that had it, whose signs change nothing`() throws {
    let place = try Place()
    let old = try place.take(LockHolder(command: "retort run old"))
    let new = try place.take(LockHolder(command: "retort run new"), breaking: true)
    let lost = refusal { try old.requireHeld() }
    #expect(lost?.kind == .checkpoint)
    #expect(lost?.what.contains("retort run new") == true)
    old.giveSign(7)
    old.release()
    try new.requireHeld()
    #expect(place.names == ["lock.2"])
  }

  @Test func `a copied lock is nobody's, and neither is one that is not whole`() throws {
    let place = try Place()
    _ = try place.take(LockHolder(command: ""))
    try FileManager.default.copyItem(atPath: place.path + "/training", toPath: place.path + "/copy/")
    let copy = try Place()
    try FileManager.default.moveItem(atPath: place.path + "/copy", toPath: copy.path + "/training")
    _ = try copy.take(LockHolder(command: ""))
    let torn = try Place()
    try makeDirectory(torn.path + "/training")
    try writeFileAtomically(torn.path + "/training/lock.4", "{\"run\": ")
    _ = try torn.take(LockHolder(command: ""))
    #expect(torn.names == ["lock.5"])
  }

  @Test func `of many that ask at the same moment one gets the directory, also over a lock that was left`() throws {
    for leaves in [false, true] {
      for _ in 0..<20 {
        let place = try Place()
        if leaves {
          var gone = LockHolder(command: "")
          gone.ticks += 1
          _ = try place.take(gone)
        }
        let (group, counted) = (DispatchGroup(), Counted())
        for _ in 0..<6 {
          DispatchQueue.global().async(group: group) {
            var ended: Set<String> = []
            let lock = try? OutputLock.take(place.path, as: LockHolder(command: ""), ended: &ended)
            if let lock { counted.add(lock) }
          }
        }
        group.wait()
        #expect(counted.locks.count == 1)
        #expect(counted.locks.allSatisfy { $0.isHeld })
        #expect(place.names.count == 1)
      }
    }
  }

  private final class Counted: @unchecked Sendable {
    private let mutex = NSLock()
    private(set) var locks: [OutputLock] = []
    func add(_ lock: OutputLock) { mutex.withLock { locks.append(lock) } }
  }

  @Test func `all directories of a chain are taken or none`() throws {
    let place = try Place()
    let inner = ["a", "b", "c"].map { place.path + "/" + $0 }
    var ended: Set<String> = []
    let middle = try OutputLock.take(inner[1], as: LockHolder(command: ""), ended: &ended)
    #expect(throws: RetortError.self) {
      try OutputLocks(inner, as: LockHolder(command: ""), breaking: false, note: { _ in })
    }
    #expect(try listDirectory(place.path) == ["b"])
    middle.release()
    let locks = try OutputLocks(inner, as: LockHolder(command: ""), breaking: false, note: { _ in })
    try inner.forEach { try locks.fence(of: $0)?.requireHeld() }
    #expect(OutputLock.holder(of: inner[2])?.process == getpid())
    locks.release()
    #expect(try listDirectory(place.path) == [])
  }
}
