import Foundation
import Platform

/// The lock of one run on an output directory: a file `training/lock.N` that names the run.
///
/// A run writes a complete file and gives it the next free number with `link`, which succeeds for only one of two runs,
/// also on a network file system. Then it lists the locks again: it holds the directory if the only other locks are
/// those of ended runs, which it removes. Of two runs that take different numbers at the same time at least the later
/// one sees the other, so they never both hold the directory; if each sees the other, both retreat and try again after
/// a random delay.
///
/// A run on the same machine has ended if its process is gone. On other machines the lock file decides: a holder
/// changes the file every two seconds, and the run of a file that does not change during a minute of watching has
/// ended. Clocks of different machines are never compared.
package final class OutputLock: WriteFence, Sendable {
  /// The output directory.
  let directory: String
  let holder: LockHolder
  private let path: String
  private let made: [String]

  /// Seconds between two heartbeats.
  static let beat = 2.0
  /// Seconds without a heartbeat after which a run on another machine counts as ended.
  static let patience = 60.0

  private init(_ directory: String, _ path: String, _ holder: LockHolder, made: [String]) {
    (self.directory, self.path, self.holder, self.made) = (directory, path, holder, made)
  }

  /// Takes the lock of a directory, and creates the directory if it does not exist.
  ///
  /// - Parameters:
  ///   - breaking: whether to take it from a run that holds it; that run notices at its next rename of a file.
  ///   - ended: the names of runs known to have ended; newly found ones are added.
  ///   - note: receives remarks, such as that the lock of an ended run was found.
  /// Throws `.preflight` with the holder if another run has the directory.
  static func take(
    _ directory: String, as holder: LockHolder, breaking: Bool = false, ended: inout Set<String>,
    patience: Double = OutputLock.patience, note: (String) -> Void = { _ in }
  ) throws -> OutputLock {
    let folder = joinPath(directory, "training")
    var made = missing(folder)
    var holder = holder
    let own = joinPath(folder, "lock.\(holder.run).new")
    defer { unlink(own) }
    var failures = 0
    do {
      for _ in 0..<50 {
        // A run that has written nothing removes the directory when it releases the lock.
        made += missing(folder).filter { !made.contains($0) }
        try makeDirectory(folder)
        var info = stat()
        if stat(folder, &info) == 0 { holder.directory = UInt64(info.st_ino) }
        let others = claims(in: folder)
        for name in others {
          try judge(
            joinPath(folder, name), directory, own: holder, breaking: breaking, &ended, patience: patience, note)
        }
        let path = joinPath(folder, "lock.\((others.compactMap(number).max() ?? 0) + 1)")
        // The holder removes unfinished files of killed runs, and may mistake this file for one.
        do { try writeFileAtomically(own, content(holder, beat: 0)) } catch {
          failures += 1
          if !isDirectory(folder) || failures < 5 { continue }
          throw error
        }
        // On a network file system the reply of link() may be lost although it succeeded: the link count tells.
        guard link(own, path) == 0 || names(of: own) == 2 else {
          if errno == EEXIST || errno == ENOENT { continue }
          // Without hard links use exclusive creation.
          guard errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS || errno == EMLINK else {
            throw RetortError(
              .checkpoint, "cannot create the lock (\(systemErrorText()))", at: path,
              remedy: "check space and permissions there")
          }
          guard try create(path, content(holder, beat: 0)) else { continue }
          if let lock = settle(directory, folder, path, others, holder, made) { return lock }
          continue
        }
        unlink(own)
        if let lock = settle(directory, folder, path, others, holder, made) { return lock }
      }
      throw RetortError(
        .preflight, "too many runs compete for the directory", at: directory, remedy: "try again")
    } catch {
      unlink(own)
      made.reversed().forEach { rmdir($0) }
      throw error
    }
  }

  /// Lists the locks again; returns nil, after removing the own lock, if another run has taken one meanwhile.
  private static func settle(
    _ directory: String, _ folder: String, _ path: String, _ judged: [String], _ holder: LockHolder, _ made: [String]
  ) -> OutputLock? {
    let now = claims(in: folder).filter { $0 != fileName(of: path) }
    guard Set(now).isSubset(of: judged) else {
      unlink(path)
      usleep(UInt32.random(in: 20_000...300_000))
      return nil
    }
    for name in now { unlink(joinPath(folder, name)) }
    return OutputLock(directory, path, holder, made: made)
  }

  /// Throws unless the holder of a lock has ended or loses it to this run.
  private static func judge(
    _ path: String, _ directory: String, own: LockHolder, breaking: Bool, _ ended: inout Set<String>,
    patience: Double, _ note: (String) -> Void
  ) throws {
    guard var text = read(path) else { return }
    let holder = LockHolder(text)
    let name = holder?.text ?? "a run that its lock \(path) does not name"
    if let holder, ended.contains(holder.run) { return }
    let life = holder?.life(seenBy: own, in: own.directory) ?? .unknown
    if breaking {
      if life != .hasEnded {
        note("the lock of \(directory) is taken from \(name)")
        // Leave time for a rename that the other run may be about to make.
        usleep(UInt32(1_000_000 * min(patience, beat)))
      }
      return
    }
    func refusal() -> RetortError {
      RetortError(
        .preflight, "another run writes to the directory: \(name)", at: directory,
        remedy: "wait for its end or stop it; if you know that it has ended, --break-lock takes the directory from it")
    }
    switch life {
    case .runs: throw refusal()
    case .hasEnded:
      if holder?.directory == own.directory { note("a run that ended abruptly left its lock: \(name)") }
    case .unknown:
      let start = ContinuousClock.now
      var hasSaid = false
      while (ContinuousClock.now - start).seconds < patience {
        usleep(200_000)
        guard let now = read(path) else { return }
        if now != text { throw refusal() }
        text = now
        if !hasSaid, (ContinuousClock.now - start).seconds > 2 * beat {
          hasSaid = true
          note("no heartbeat of \(name), which holds \(directory); waiting for one for \(Int(patience)) s")
        }
      }
      note("a run without a heartbeat left its lock: \(name)")
    }
    if let holder { ended.insert(holder.run) }
  }

  /// Throws `.checkpoint` with the new holder if the lock has been taken away.
  package func requireHeld() throws {
    if isHeld { return }
    let others = OutputLock.claims(in: joinPath(directory, "training")).compactMap {
      OutputLock.read(joinPath(directory, "training/\($0)")).flatMap { LockHolder($0) }
    }
    let now = others.last.map { "; it now belongs to \($0.text)" } ?? ""
    throw RetortError(
      .checkpoint, "this run has lost the lock of the directory\(now)", at: directory,
      remedy: "this run writes nothing more there; start it again when the other one has ended")
  }

  /// Whether the lock file is still this run's.
  var isHeld: Bool { OutputLock.read(path).flatMap { LockHolder($0) }?.run == holder.run }

  /// Writes a heartbeat: changes the file's second line in place.
  func giveSign(_ count: Int) {
    let descriptor = open(path, O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let length = pread(descriptor, &bytes, bytes.count, 0)
    let text = String(decoding: bytes.prefix(max(0, length)), as: UTF8.self)
    guard LockHolder(text)?.run == holder.run else { return }
    let line = Array(OutputLock.beatLine(count).utf8)
    // The line has the same length for every count.
    _ = pwrite(descriptor, line, line.count, off_t(length - line.count))
  }

  /// Releases the lock, and removes directories that were created only for it.
  func release() {
    if isHeld { unlink(path) }
    made.reversed().forEach { rmdir($0) }
  }

  /// The holder of a directory, for commands that only read: nil if there is none or it has ended.
  package static func holder(of directory: String) -> LockHolder? {
    let folder = joinPath(directory, "training")
    var info = stat()
    guard stat(folder, &info) == 0 else { return nil }
    let own = LockHolder(command: "")
    return claims(in: folder).compactMap { read(joinPath(folder, $0)).flatMap { LockHolder($0) } }
      .last { $0.life(seenBy: own, in: UInt64(info.st_ino)) != .hasEnded }
  }

  /// Whether a name in `training/` is a lock, or the beginning of one.
  static func isLock(_ name: String) -> Bool {
    number(name) != nil || (name.hasPrefix("lock.") && name.contains(".new"))
  }

  private static func number(_ name: String) -> Int? {
    guard name.hasPrefix("lock."), name.utf8.count < 24 else { return nil }
    return Int(name.dropFirst(5)).flatMap { $0 > 0 && $0 < Int.max ? $0 : nil }
  }

  /// The names of the locks in a folder, by their number.
  private static func claims(in folder: String) -> [String] {
    ((try? listDirectory(folder)) ?? []).compactMap { name in number(name).map { ($0, name) } }.sorted { $0.0 < $1.0 }
      .map { $0.1 }
  }

  private static func content(_ holder: LockHolder, beat: Int) -> String { holder.line + "\n" + beatLine(beat) }

  private static func beatLine(_ count: Int) -> String {
    let digits = "\(count)"
    return "beat " + String(repeating: "0", count: max(0, 12 - digits.count)) + digits + "\n"
  }

  /// The content of a lock; nil if the file does not exist.
  private static func read(_ path: String) -> String? {
    // Opening the file each time makes a network file system ask its server.
    (try? readFile(path)).map { String(decoding: $0, as: UTF8.self) }
  }

  private static func names(of path: String) -> Int {
    var info = stat()
    return stat(path, &info) == 0 ? Int(info.st_nlink) : 0
  }

  /// Creates a file exclusively; returns false if it exists.
  private static func create(_ path: String, _ text: String) throws -> Bool {
    let descriptor = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      if errno == EEXIST { return false }
      throw RetortError(.checkpoint, "cannot create the lock (\(systemErrorText()))", at: path)
    }
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    return write(descriptor, bytes, bytes.count) == bytes.count
  }

  /// The directories that `makeDirectory` will create, outermost first.
  private static func missing(_ path: String) -> [String] {
    var (missing, next) = ([String](), path)
    while !next.isEmpty, !fileExists(next) {
      missing.insert(next, at: 0)
      next = parentDirectory(of: next)
    }
    return missing
  }
}
