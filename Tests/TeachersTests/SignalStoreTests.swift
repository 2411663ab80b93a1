import Foundation
import Platform
import TestSupport
import Testing

@testable import Teachers

/// A folder for stores that is removed when the test lets go of it.
final class StoreFolder: Sendable {
  let path: String
  static let key = String(repeating: "0123456789abcdef", count: 4)

  init() throws { path = try Shared.temporaryDirectory("signals") }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func store(
    _ key: String = StoreFolder.key, width: Int = 3, expected: Int = 0,
    limits: SignalStore.Limits = .init(bytes: 1 << 30), writer: @escaping SignalStore.Writer = SignalStore.publishFile
  ) -> SignalStore {
    SignalStore(root: path, key: key, width: width, expected: expected, limits: limits, writer: writer)
  }

  /// The one segment of a key, made of the first entries, with its content and the bytes of one of its records.
  func segment(of entries: Range<Int>) throws -> (path: String, content: Data, recordBytes: Int) {
    let writer = store()
    Entry.add(entries, to: writer)
    writer.publish()
    let path = try #require(segments().first)
    let record = SignalFormat(width: writer.width, key: StoreFolder.key).recordBytes
    return (path, try readFile(path), record)
  }

  /// The segment files of a key.
  func segments(_ key: String = StoreFolder.key) -> [String] {
    let folder = joinPath(path, key)
    return ((try? listDirectory(folder)) ?? []).filter { $0.hasSuffix(".sig") }.map { joinPath(folder, $0) }
  }
}

/// The entry of a number, by which tests know values, check and hash.
enum Entry {
  static func values(_ number: Int, width: Int = 3) -> [Float] { (0..<width).map { Float(number) + Float($0) / 8 } }
  static func hash(_ number: Int) -> UInt64 { UInt64(number) &* 0x9e37_79b9_7f4a_7c15 }
  static func check(_ number: Int) -> UInt64 { ~UInt64(number) }

  static func add(_ numbers: Range<Int>, to store: SignalStore) {
    for number in numbers {
      store.add(hash: hash(number), check: check(number), values: values(number, width: store.width))
    }
  }

  /// What the store says of a number; nil where it has nothing.
  static func read(_ number: Int, _ store: SignalStore) -> [Float]? {
    var values = [Float](repeating: .nan, count: store.width)
    return store.read(hash: hash(number), check: check(number), into: &values) ? values : nil
  }

  /// Which of the numbers the store has, all of them with the right values.
  static func known(_ numbers: Range<Int>, _ store: SignalStore) -> [Int] {
    numbers.filter { number in
      guard let found = read(number, store) else { return false }
      #expect(found == values(number, width: store.width), "entry \(number)")
      return true
    }
  }
}

@Suite struct SignalStoreTests {
  @Test(arguments: [1, 2, 3, 8, 1000]) func `what was added is read back, before and after it was published`(
    width: Int
  ) throws {
    let folder = try StoreFolder()
    let first = folder.store(width: width)
    Entry.add(0..<20, to: first)
    #expect(Entry.known(0..<25, first) == Array(0..<20))
    first.publish()
    #expect(Entry.known(0..<25, first) == Array(0..<20) && first.publishedBytes > 20 * 4 * width)
    Entry.add(20..<22, to: first)
    #expect(Entry.known(0..<25, first) == Array(0..<22))
    #expect(Entry.known(0..<25, folder.store(width: width)) == Array(0..<20))
    // Another number of floats under the same key is another format: none of it is taken for an entry.
    #expect(folder.store(width: width + 1).count == 0)
  }

  @Test func `two writers at the same time read what the other has published when they are asked to`() throws {
    let folder = try StoreFolder()
    let (first, second) = (folder.store(), folder.store())
    Entry.add(0..<10, to: first)
    Entry.add(5..<15, to: second)
    first.publish()
    second.publish()
    #expect(Entry.known(0..<20, first) == Array(0..<10))
    first.collect()
    second.collect()
    #expect(Entry.known(0..<20, first) == Array(0..<15) && Entry.known(0..<20, second) == Array(0..<15))
    #expect(folder.segments().count == 2)
    // Nothing new, nothing written.
    first.publish()
    Entry.add(0..<15, to: second)
    second.publish()
    #expect(folder.segments().count == 2)
  }

  @Test func `a full segment is published without being asked, and so is the rest at the end`() throws {
    let folder = try StoreFolder()
    var store: SignalStore? = folder.store(limits: .init(bytes: 1 << 20, segmentBytes: 200))
    store.map { Entry.add(0..<12, to: $0) }
    #expect(folder.segments().count == 2)
    store = nil
    #expect(folder.segments().count == 3)
    #expect(Entry.known(0..<20, folder.store()) == Array(0..<12))
  }

  @Test func `a segment that was cut at any byte has its whole records and nothing else`() throws {
    let folder = try StoreFolder()
    let (path, whole, record) = try folder.segment(of: 0..<4)
    #expect(whole.count == SignalFormat.headerBytes + 4 * record)
    for length in 0..<whole.count {
      try writeFileAtomically(path, whole.prefix(length))
      let complete = max(0, (length - SignalFormat.headerBytes) / record)
      #expect(Entry.known(0..<4, folder.store()) == Array(0..<complete), "\(length) bytes")
    }
  }

  @Test func `a changed byte costs the record it is in, or all of them in the header`() throws {
    let folder = try StoreFolder()
    let (path, whole, record) = try folder.segment(of: 0..<3)
    for place in whole.indices {
      var changed = whole
      changed[place] ^= 1 << UInt8(place % 8)
      try writeFileAtomically(path, changed)
      let lost = place < SignalFormat.headerBytes ? nil : (place - SignalFormat.headerBytes) / record
      #expect(Entry.known(0..<3, folder.store()) == (lost.map { lost in (0..<3).filter { $0 != lost } } ?? []))
    }
  }

  @Test func `files that are no segments, and segments of another key, are left out`() throws {
    let folder = try StoreFolder()
    let other = String(StoreFolder.key.reversed())
    let writer = folder.store(other)
    Entry.add(0..<3, to: writer)
    writer.publish()
    let store = folder.store()
    try writeFileAtomically(joinPath(folder.path, StoreFolder.key + "/words.sig"), "no segment at all")
    try writeFileAtomically(joinPath(folder.path, StoreFolder.key + "/empty.sig"), "")
    let foreign = try readFile(try #require(folder.segments(other).first))
    try writeFileAtomically(joinPath(folder.path, StoreFolder.key + "/foreign.sig"), foreign)
    store.collect()
    #expect(store.count == 0 && store.takeRemark() == nil)
    Entry.add(7..<9, to: store)
    #expect(Entry.known(0..<10, store) == [7, 8])
  }

  @Test func `two examples of one hash are told apart by their second hash`() throws {
    let folder = try StoreFolder()
    let store = folder.store(width: 1)
    var value: Float = 0
    store.add(hash: 5, check: 1, values: [10])
    store.add(hash: 5, check: 2, values: [20])
    #expect(store.read(hash: 5, check: 1, into: &value) && value == 10)
    #expect(!store.read(hash: 5, check: 2, into: &value))
    store.publish()
    let next = folder.store(width: 1)
    #expect(next.read(hash: 5, check: 1, into: &value) && !next.read(hash: 5, check: 2, into: &value))
  }

  @Test func `on a full disk entries stay readable here, it is said once, and nothing is left behind`() throws {
    let folder = try StoreFolder()
    var tries = 0
    let store = folder.store(limits: .init(bytes: 1 << 20, segmentBytes: 200)) { path, header, records in
      tries += 1
      if tries == 1 { return try SignalStore.publishFile(path, header, records) }
      throw RetortError(.checkpoint, "cannot write (no space left on device)", at: path)
    }
    Entry.add(0..<30, to: store)
    #expect(Entry.known(0..<40, store) == Array(0..<30))
    #expect(tries == 2 && store.takeRemark()?.contains("no space left") == true && store.takeRemark() == nil)
    store.publish()
    store.collect()
    #expect(Entry.known(0..<40, store) == Array(0..<30) && store.takeRemark() == nil)
    // What was published before is there for the next one.
    #expect(Entry.known(0..<40, folder.store()) == Array(0..<5))
  }

  @Test func `a folder that cannot be made, or none at all, keeps entries in memory`() throws {
    let folder = try StoreFolder()
    try writeFileAtomically(joinPath(folder.path, "file"), "not a folder")
    for root in [joinPath(folder.path, "file"), nil] {
      let store = SignalStore(root: root, key: StoreFolder.key, width: 3)
      Entry.add(0..<10, to: store)
      store.publish()
      store.collect()
      #expect(Entry.known(0..<20, store) == Array(0..<10) && store.takeRemark() != nil && store.publishedBytes == 0)
    }
  }

  @Test func `at the limit nothing is added any more, and what is there is still read`() throws {
    let folder = try StoreFolder()
    let record = SignalFormat(width: 3, key: StoreFolder.key).recordBytes
    let store = folder.store(limits: .init(bytes: 10 * record, writers: 2))
    Entry.add(0..<20, to: store)
    #expect(Entry.known(0..<20, store) == Array(0..<5))
    #expect(store.takeRemark()?.contains("limit") == true)
    store.publish()
    store.collect()
    Entry.add(5..<20, to: store)
    #expect(Entry.known(0..<20, store).count < 8)
    #expect(folder.store(limits: .init(bytes: 0)).count == 5)
  }
}
