import Datasets
import Foundation
import Platform

/// Teacher signals of one key, on disk and in memory: a table from the content of an example to its values.
///
/// Each writer collects what it adds in memory and publishes it as a file of its own, whole or not at all; published
/// files are never changed. Readers map the files that are there when they are asked to `collect`. So any number of
/// ranks and runs share a store without waiting for each other. What is wrong with a file, an entry or the disk makes
/// entries missing, never wrong, and never ends a run.
public final class SignalStore {
  /// How a segment gets to disk; tests put a failing one in its place.
  public typealias Writer = (_ path: String, _ header: [UInt8], _ records: UnsafeRawBufferPointer) throws -> Void

  /// What a store may take.
  public struct Limits: Sendable, Equatable {
    /// Bytes of all keys under the root together.
    public var bytes: Int
    /// How many stores of this run add to it at the same time.
    public var writers: Int
    /// Bytes that a writer collects before it publishes them without being asked.
    public var segmentBytes: Int

    /// Limits of 10 GB, one writer and segments of 8 MiB, unless said otherwise.
    public init(bytes: Int = 10_000_000_000, writers: Int = 1, segmentBytes: Int = 8 << 20) {
      self.bytes = bytes
      self.writers = writers
      self.segmentBytes = segmentBytes
    }
  }

  /// Floats of an entry.
  public var width: Int { format.width }
  /// Entries that can be read now.
  public var count: Int { index.count }
  /// Bytes that this store has published.
  public private(set) var publishedBytes = 0

  private let format: SignalFormat
  private let limits: Limits
  private let write: Writer
  /// nil where nothing can be kept on disk.
  private var directory: KeyedFolder?
  private var segments: [SignalSegment] = []
  private var seen: Set<String> = []
  /// Where an entry is: its segment · 2³² + its record.
  private var index: [UInt64: UInt64] = [:]
  /// Records that are not published yet; they are part of the index, as the segment after the last.
  private var pending: UnsafeMutableRawPointer?
  private var pendingCount = 0
  private let pendingCapacity: Int
  /// Bytes that may still be added.
  private var allowance = 0
  /// Bytes that a store without a place on disk keeps in memory.
  private var memoryLimit: Int { min(limits.bytes, 1 << 30) / max(1, limits.writers) }
  private var remark: String?
  private var hasRemarked = false

  /// Opens the store of a key, making room for it by removing others that nobody uses, least recently used first.
  ///
  /// - Parameters:
  ///   - root: the folder of all keys; nil or one that cannot be used keeps what this store adds in memory alone.
  ///   - key: 64 hexadecimal digits, a digest of everything that decides the values besides the example.
  ///   - width: floats of an entry, at least 1.
  ///   - expected: entries that there will be, as far as is known.
  ///   - about: the teacher's name, for people.
  public init(
    root: String?, key: String, width: Int, expected: Int = 0, limits: Limits = Limits(), about: String? = nil,
    writer: @escaping Writer = SignalStore.publishFile
  ) {
    format = SignalFormat(width: width, key: key)
    self.limits = limits
    write = writer
    pendingCapacity = max(1, limits.segmentBytes / format.recordBytes)
    index.reserveCapacity(min(expected, 1 << 24))
    allowance = memoryLimit
    guard let root else {
      say("there is no cache directory")
      return
    }
    do {
      directory = try KeyedFolder(root: root, key: key, about: about)
      directory?.makeRoom(for: expected * format.recordBytes, limit: limits.bytes)
    } catch { say(RetortError.wrap(error).description) }
    collect()
  }

  deinit {
    publish()
    pending?.deallocate()
  }

  /// Copies the values [width] of an example to `values`; false where they are not there.
  ///
  /// - Parameters:
  ///   - hash: of the example's content.
  ///   - check: an independent hash of the same; entries with another one are of another example.
  public func read(hash: UInt64, check: UInt64, into values: UnsafeMutablePointer<Float>) -> Bool {
    guard let place = index[hash] else { return false }
    let record = address(place)
    guard record.load(fromByteOffset: 8, as: UInt64.self) == check else { return false }
    UnsafeMutableRawPointer(values).copyMemory(from: record + format.valuesOffset, byteCount: 4 * width)
    return true
  }

  /// Adds the values [width] of an example, unless an entry of its hash is there or the limit is reached.
  public func add(hash: UInt64, check: UInt64, values: UnsafePointer<Float>) {
    guard index[hash] == nil else { return }
    guard allowance >= format.recordBytes else {
      return say("the limit of \(limits.bytes) bytes is reached, further ones are computed each time")
    }
    let memory = pending ?? .allocate(byteCount: pendingCapacity * format.recordBytes, alignment: 64)
    pending = memory
    format.write(hash: hash, check: check, values: values, to: memory + pendingCount * format.recordBytes)
    index[hash] = place(segments.count, pendingCount)
    pendingCount += 1
    allowance -= format.recordBytes
    if pendingCount == pendingCapacity { publish() }
  }

  /// Makes what was added readable for other stores of this key.
  ///
  /// Where it cannot be written it stays readable here, and the reason becomes the store's remark.
  public func publish() {
    guard pendingCount > 0, let memory = pending else { return }
    let bytes = UnsafeRawBufferPointer(start: memory, count: pendingCount * format.recordBytes)
    if let folder = directory?.path {
      let name = KeyedFolder.segmentName()
      do {
        try write(joinPath(folder, name), format.header, bytes)
        seen.insert(name)
        publishedBytes += SignalFormat.headerBytes + bytes.count
      } catch {
        // Entries that are here are still right; only others cannot see them.
        directory = nil
        allowance = min(allowance, memoryLimit)
        say(RetortError.wrap(error).description)
      }
    }
    // The index knows the pending records as this segment already.
    segments.append(SignalSegment(memory: memory, count: pendingCount))
    pending = nil
    pendingCount = 0
  }

  /// Takes up the segments that others have published since it was last called, and learns how much room is left.
  public func collect() {
    guard let directory else { return }
    publish()
    for name in directory.segments() where !seen.contains(name) {
      // A file that cannot be read now may be readable later; one that is no segment is not looked at again.
      guard fileExists(joinPath(directory.path, name)) else { continue }
      seen.insert(name)
      if let segment = SignalSegment(mapping: joinPath(directory.path, name), format) { take(segment) }
    }
    allowance = max(0, limits.bytes - directory.totalBytes()) / max(1, limits.writers)
  }

  /// What the user should know, once.
  public func takeRemark() -> String? {
    defer { remark = nil }
    return remark
  }

  /// Puts a segment on disk under a temporary name, flushes it and gives it its name.
  public static func publishFile(_ path: String, _ header: [UInt8], _ records: UnsafeRawBufferPointer) throws {
    let file = try AtomicFile(path, permissions: 0o600)
    try header.withUnsafeBytes { try file.write($0) }
    try file.write(records)
    try file.commit()
  }

  private func take(_ segment: SignalSegment) {
    var used = false
    for record in 0..<segment.count {
      let address = segment.records + record * format.recordBytes
      let hash = address.load(as: UInt64.self)
      guard index[hash] == nil, format.isWhole(address) else { continue }
      index[hash] = place(segments.count, record)
      used = true
    }
    if used { segments.append(segment) }
  }

  private func place(_ segment: Int, _ record: Int) -> UInt64 { UInt64(segment) << 32 | UInt64(record) }

  private func address(_ place: UInt64) -> UnsafeRawPointer {
    let (segment, record) = (Int(place >> 32), Int(place & 0xffff_ffff))
    if segment < segments.count { return segments[segment].records + record * format.recordBytes }
    guard let pending else { preconditionFailure("entry \(record) of a segment that does not exist") }
    return UnsafeRawPointer(pending) + record * format.recordBytes
  }

  private func say(_ what: String) {
    if hasRemarked { return }
    hasRemarked = true
    remark = "teacher signals are not kept on disk from here on: \(what)"
  }
}
