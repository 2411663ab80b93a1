import Foundation
import Platform

/// The run that holds an output directory, as recorded in its lock file.
package struct LockHolder: Sendable, Equatable {
  /// A random name of the run.
  package var run: String
  /// The machine of the run's rank 0.
  package var host: String
  /// The process id of rank 0 there.
  package var process: Int32
  /// The start time of rank 0, in words.
  package var since: String
  /// The command line.
  package var command: String
  /// `ProcessStart.ticks` of the process.
  var ticks: UInt64
  /// The boot id of the machine; empty if the system does not report it.
  var boot: String
  /// The PID namespace, which differs between containers on one machine.
  var processSpace: String
  /// The inode of the directory of the lock, since a copy of a directory contains a copy of its lock.
  var directory: UInt64

  /// Whether a holder still runs, as far as this machine can determine.
  enum Life { case runs, hasEnded, unknown }

  /// Describes this process.
  init(command: String) {
    run = (0..<4).map { _ in String(format: "%04x", UInt16.random(in: 0 ... .max)) }.joined()
    host = ProcessInfo.processInfo.hostNameOfSystem
    process = getpid()
    since = LockHolder.text(of: Date(timeIntervalSinceNow: -(ProcessStart.secondsAgo ?? 0)))
    self.command = command.count > 300 ? String(command.prefix(300)) + "…" : command
    ticks = ProcessStart.ticks(of: process) ?? 0
    let id = fopen("/proc/sys/kernel/random/boot_id", "r").map { file -> String in
      defer { fclose(file) }
      var bytes = [UInt8](repeating: 0, count: 64)
      let count = fread(&bytes, 1, bytes.count, file)
      return String(decoding: bytes.prefix(count), as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
    boot = id ?? ""
    processSpace = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/pid")) ?? ""
    directory = 0
  }

  /// Parses a lock file; nil for text that is not a complete lock.
  init?(_ text: String) {
    guard let line = text.split(separator: "\n").first, let json = try? JSON(parsing: String(line)),
      let run = json["run"]?.string, let host = json["host"]?.string,
      let process = json["pid"]?.int.flatMap({ Int32(exactly: $0) }), let since = json["since"]?.string,
      let command = json["command"]?.string, let ticks = json["start_ticks"]?.string.flatMap({ UInt64($0) }),
      let boot = json["boot"]?.string, let space = json["pid_namespace"]?.string,
      let directory = json["directory"]?.string.flatMap({ UInt64($0) })
    else { return nil }
    (self.run, self.host, self.process, self.since, self.command) = (run, host, process, since, command)
    (self.ticks, self.boot, processSpace, self.directory) = (ticks, boot, space, directory)
  }

  /// The first line of the lock file.
  var line: String {
    let json: JSON = [
      "run": .string(run), "host": .string(host), "pid": .int(Int(process)), "since": .string(since),
      "command": .string(command), "start_ticks": .string("\(ticks)"), "boot": .string(boot),
      "pid_namespace": .string(processSpace), "directory": .string("\(directory)"),
    ]
    return json.text()
  }

  /// "pid 4711 on node3 since 2026-01-31 12:00:00 UTC (retort run chain.yaml)".
  package var text: String { "pid \(process) on \(host) since \(since) (\(command))" }

  /// The holder as JSON.
  package var json: JSON {
    [
      "run": .string(run), "host": .string(host), "pid": .int(Int(process)), "since": .string(since),
      "command": .string(command),
    ]
  }

  /// Whether the holder runs, as seen by another process: certain if both are in one PID namespace of one machine;
  /// otherwise only heartbeats can tell.
  func life(seenBy own: LockHolder, in directory: UInt64) -> Life {
    if self.directory != directory { return .hasEnded }
    guard !boot.isEmpty, boot == own.boot, !processSpace.isEmpty, processSpace == own.processSpace, ticks != 0 else {
      return .unknown
    }
    return ProcessStart.ticks(of: process) == ticks ? .runs : .hasEnded
  }

  private static func text(of date: Date) -> String {
    let format = DateFormatter()
    format.locale = Locale(identifier: "en_US_POSIX")
    format.timeZone = TimeZone(identifier: "UTC")
    format.dateFormat = "yyyy-MM-dd HH:mm:ss 'UTC'"
    return format.string(from: date)
  }
}

extension ProcessInfo {
  /// The machine's host name, without a query to a name server.
  fileprivate var hostNameOfSystem: String {
    var name = [CChar](repeating: 0, count: 256)
    guard gethostname(&name, name.count - 1) == 0 else { return "unknown host" }
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
