import Datasets
import Foundation
import Platform

/// The teacher signals of one key, on disk and in memory: maps the content of an example to its values.
///
/// Each writer collects new entries in memory and publishes them as a separate file, atomically; published files never
/// change. Readers map the published files in `collect`. So any number of ranks and runs share a store without waiting
/// for each other. A damaged file, entry or disk makes entries missing, never wrong, and never ends a run.
package final class SignalStore {
  /// Writes a segment to disk; tests pass one that fails.
  package typealias Writer = (_ path: String, _ header: [UInt8], _ records: UnsafeRawBufferPointer) throws -> Void

  /// The limits of a store.
  package struct Limits: Sendable, Equatable {
    /// The most bytes of all keys under the root together.
    package var bytes: Int
    /// The number of stores of this run that add entries at the same time.
    package var writers: Int
    /// The bytes after which a writer publishes its entries by itself.
    package var segmentBytes: Int

    /// Makes limits; the defaults are 10 GB, one writer and segments of 8 MiB.
    package init(bytes: Int = 10_000_000_000, writers: Int = 1, segmentBytes: Int = 8 << 20) {
      self.bytes = bytes
      self.writers = writers
      self.segmentBytes = segmentBytes
    }
  }

  /// The floats of an entry.
  package var width: Int { format.width }
  /// The number of readable entries.
  package var count: Int { index.count }
  /// The bytes that this store has published.
  package private(set) var publishedBytes = 0

  private let format: SignalFormat
  private let limits: Limits
  private let write: Writer
  /// nil if entries cannot be kept on disk.
  private var directory: KeyedFolder?
  private var segments: [SignalSegment] = []
  private var seen: Set<String> = []
  /// The location of each entry: segment · 2³² + record.
  private var index: [UInt64: UInt64] = [:]
  /// Unpublished records; the index lists them as the segment after the last.
  private var pending: UnsafeMutableRawPointer?
  private var pendingCount = 0
  private let pendingCapacity: Int
  /// The bytes that may still be added.
  private var allowance = 0
  /// The most bytes that a store without a folder keeps in memory.
  private var memoryLimit: Int { min(limits.bytes, 1 << 30) / max(1, limits.writers) }
  private var remark: String?
  private var hasRemarked = false

  /// Opens the store of a key, and removes unused stores, least recently used first, to make room for it.
  ///
  /// - Parameters:
  ///   - root: the folder of all keys; without a usable one, new entries stay in memory only.
  ///   - key: 64 hexadecimal digits, a digest of everything that determines the values besides the example.
  ///   - width: the floats of an entry, at least 1.
  ///   - expected: the expected number of entries.
  ///   - about: the teacher's name, for people.
  package init(
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

  /// Copies the values [width] of an example to `values`; returns false if there is no entry.
  ///
  /// - Parameters:
  ///   - hash: the hash of the example's content.
  ///   - check: an independent hash of the content; an entry with a different one belongs to another example.
  package func read(hash: UInt64, check: UInt64, into values: UnsafeMutablePointer<Float>) -> Bool {
    guard let place = index[hash] else { return false }
    let record = address(place)
    guard record.load(fromByteOffset: 8, as: UInt64.self) == check else { return false }
    UnsafeMutableRawPointer(values).copyMemory(from: record + format.valuesOffset, byteCount: 4 * width)
    return true
  }

  /// Adds the values [width] of an example, unless its hash has an entry or the limit is reached.
  package func add(hash: UInt64, check: UInt64, values: UnsafePointer<Float>) {
    guard index[hash] == nil else { return }
    guard allowance >= format.recordBytes else {
      return say("the limit of \(limits.bytes) bytes is reached, further signals are recomputed each time")
    }
    let memory = pending ?? .allocate(byteCount: pendingCapacity * format.recordBytes, alignment: 64)
    pending = memory
    format.write(hash: hash, check: check, values: values, to: memory + pendingCount * format.recordBytes)
    index[hash] = place(segments.count, pendingCount)
    pendingCount += 1
    allowance -= format.recordBytes
    if pendingCount == pendingCapacity { publish() }
  }

  /// Publishes new entries for other stores of this key.
  ///
  /// If they cannot be written they stay readable here, and the store's remark gives the reason.
  package func publish() {
    guard pendingCount > 0, let memory = pending else { return }
    let bytes = UnsafeRawBufferPointer(start: memory, count: pendingCount * format.recordBytes)
    if let folder = directory?.path {
      let name = KeyedFolder.segmentName()
      do {
        try write(joinPath(folder, name), format.header, bytes)
        seen.insert(name)
        publishedBytes += SignalFormat.headerBytes + bytes.count
      } catch {
        // The entries stay valid here; only other stores cannot read them.
        directory = nil
        allowance = min(allowance, memoryLimit)
        say(RetortError.wrap(error).description)
      }
    }
    // The index already refers to the pending records as this segment.
    segments.append(SignalSegment(memory: memory, count: pendingCount))
    pending = nil
    pendingCount = 0
  }

  /// Maps the segments that other stores have published since the last call, and updates the remaining room.
  package func collect() {
    guard let directory else { return }
    publish()
    for name in directory.segments() where !seen.contains(name) {
      // A file that is not readable now is tried again later; an invalid segment is not.
      guard fileExists(joinPath(directory.path, name)) else { continue }
      seen.insert(name)
      if let segment = SignalSegment(mapping: joinPath(directory.path, name), format) { take(segment) }
    }
    allowance = max(0, limits.bytes - directory.totalBytes()) / max(1, limits.writers)
  }

  /// The remark for the user, returned once.
  package func takeRemark() -> String? {
    defer { remark = nil }
    return remark
  }

  /// Writes a segment under a temporary name, flushes it and renames it.
  package static func publishFile(_ path: String, _ header: [UInt8], _ records: UnsafeRawBufferPointer) throws {
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
    remark = "teacher signals are no longer kept on disk: \(what)"
  }
}
