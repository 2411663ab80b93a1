import CFaults

#if canImport(Glibc)
  import Glibc
#endif

/// What a process reports when a signal ends it: one line on standard error, and a documented exit code.
package enum Faults {
  /// Handles the signals of crashes, and makes a write beyond the file size limit fail with an error; call it before
  /// anything else.
  package static func install() { rtk_faults_install() }

  /// Sets the rank and host that these reports name.
  package static func identify(rank: Int, host: String) {
    rtk_faults_identify(Int32(clamping: rank), host)
    knownPlace = "rank \(rank) on \(host)"
  }

  /// "rank 3 on node7" once the process knows it.
  package static var place: String? { knownPlace.isEmpty ? nil : knownPlace }

  // Written once, when MPI starts, and read when the process ends.
  nonisolated(unsafe) private static var knownPlace = ""

  /// Whether training has begun: running out of memory ends the process with 4 before training and 1 during it.
  package static var isTraining: Bool {
    get { rtk_faults_is_training() }
    set { rtk_faults_set_training(newValue) }
  }

  /// Registers the mapping of a file, so that a fault in it names the file; released with the object.
  package final class Mapping: Sendable {
    private let slot: Int32

    /// - Parameter path: the file, for the message.
    package init(_ start: UnsafeRawPointer, bytes: Int, path: String) {
      slot = rtk_faults_note_mapping(start, bytes, path)
    }

    deinit { rtk_faults_release_mapping(slot) }
  }
}

/// What happens when the system refuses memory.
package enum OutOfMemory {
  /// The error for a refused request: `.preflight` before training, `.unexpected` during it.
  ///
  /// - Parameters:
  ///   - bytes: the requested bytes.
  ///   - purpose: what they are for, such as "tensors".
  ///   - remedy: what needs less memory.
  package static func error(bytes: Int, for purpose: String, remedy: String = OutOfMemory.remedy) -> RetortError {
    RetortError(
      Faults.isTraining ? .unexpected : .preflight,
      "out of memory: \(grouped(bytes)) bytes for \(purpose) were refused\(limits)", remedy: remedy)
  }

  /// Throws if the limits leave less address space, before a library fails without a clear message.
  ///
  /// - Parameters: as for `error`.
  package static func require(bytes: Int, for purpose: String, remedy: String = OutOfMemory.remedy) throws {
    guard let left = MemoryLimits.remainingAddresses, left < bytes else { return }
    throw RetortError(
      Faults.isTraining ? .unexpected : .preflight,
      "out of memory: \(purpose) needs \(grouped(bytes)) bytes, and \(grouped(left)) are left\(limits)", remedy: remedy)
  }

  /// The known limits, in parentheses.
  private static var limits: String {
    var known: [String] = []
    if let limit = MemoryLimits.addressSpace {
      known.append("the address space is limited to \(grouped(limit)) bytes, ulimit -v")
    }
    if let limit = MemoryLimits.data { known.append("data to \(grouped(limit)), ulimit -d") }
    if let limit = MemoryLimits.controlGroup { known.append("the job's memory to \(grouped(limit))") }
    if let free = MemoryLimits.available { known.append("\(grouped(free)) are available on this machine") }
    return known.isEmpty ? "" : " (" + known.joined(separator: "; ") + ")"
  }

  /// The settings that usually reduce memory.
  package static let remedy =
    "use fewer ranks per machine, a smaller batch_size or max_length, gradient_accumulation_steps, "
    + "activation_checkpointing: true or student.sharding: parameters; or raise the limit"

  /// Ends the process, and with it the job, when code that cannot throw is refused memory.
  ///
  /// - Parameters: as for `error`.
  package static func end(bytes: Int, for purpose: String) -> Never {
    let error = error(bytes: bytes, for: purpose)
    let place = Faults.place.map { "\($0): " } ?? ""
    let text = "retort: \(place)\(error.description)\n"
    _ = text.withCString { write(STDERR_FILENO, $0, strlen($0)) }
    exit(error.kind.rawValue)
  }

  /// Allocates uninitialised memory; throws `error` if the system refuses it.
  package static func allocate(bytes: Int, for purpose: String, remedy: String = OutOfMemory.remedy) throws
    -> UnsafeMutableRawPointer
  {
    guard bytes >= 0, let memory = malloc(max(1, bytes)) else {
      throw error(bytes: bytes, for: purpose, remedy: remedy)
    }
    return memory
  }
}
