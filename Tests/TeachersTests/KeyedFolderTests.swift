import Foundation
import Platform
import Testing

@testable import Teachers

@Suite struct KeyedFolderTests {
  func key(_ letter: Character) -> String { String(repeating: letter, count: 64) }

  /// A key with ten entries that was last used at a time.
  func fill(_ folder: StoreFolder, _ key: String, usedAt seconds: Int) {
    let store = folder.store(key)
    Entry.add(0..<10, to: store)
    store.publish()
    var times = [timespec(tv_sec: seconds, tv_nsec: 0), timespec(tv_sec: seconds, tv_nsec: 0)]
    #expect(utimensat(AT_FDCWD, joinPath(folder.path, "\(key)/lock"), &times, 0) == 0)
  }

  @Test func `the keys that were not used for longest make room, and no more of them than needed`() throws {
    let folder = try StoreFolder()
    fill(folder, key("a"), usedAt: 3000)
    fill(folder, key("b"), usedAt: 1000)
    fill(folder, key("c"), usedAt: 2000)
    let record = SignalFormat(width: 3, key: key("d")).recordBytes
    let each = SignalFormat.headerBytes + 10 * record
    let store = folder.store(key("d"), expected: 10, limits: .init(bytes: 3 * each))
    #expect(try listDirectory(folder.path) == [key("a"), key("c"), key("d")])
    Entry.add(0..<10, to: store)
    #expect(Entry.known(0..<10, store).count == 10)
  }

  @Test func `a key that somebody uses is never removed, and its user does not notice`() throws {
    let folder = try StoreFolder()
    fill(folder, key("a"), usedAt: 1000)
    let user = folder.store(key("a"))
    fill(folder, key("b"), usedAt: 2000)
    let store = folder.store(key("c"), expected: 1000, limits: .init(bytes: 1))
    #expect(try listDirectory(folder.path) == [key("a"), key("c")])
    Entry.add(10..<12, to: user)
    user.publish()
    #expect(Entry.known(0..<20, user) == Array(0..<12) && user.takeRemark() == nil)
    _ = store
  }

  @Test func `an unused key goes while others are used, and can be made again`() throws {
    let folder = try StoreFolder()
    fill(folder, key("a"), usedAt: 1000)
    _ = folder.store(key("b"), expected: 1, limits: .init(bytes: 1))
    #expect(folder.segments(key("a")).isEmpty)
    let again = folder.store(key("a"))
    #expect(again.count == 0)
    Entry.add(0..<3, to: again)
    again.publish()
    #expect(folder.store(key("a")).count == 3)
  }

  @Test func `folders that are no keys are left alone`() throws {
    let folder = try StoreFolder()
    try makeDirectory(joinPath(folder.path, "notes"))
    // Left by somebody who was killed while he removed it.
    try makeDirectory(joinPath(folder.path, key("a") + ".removed"))
    _ = folder.store(key("b"), expected: 1000, limits: .init(bytes: 1))
    #expect(try listDirectory(folder.path) == [key("b"), "notes"])
  }
}
