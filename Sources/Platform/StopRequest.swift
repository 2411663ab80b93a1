import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// A wish from outside (SIGUSR1, SIGTERM, SIGINT) that the run save and end.
///
/// The handler only sets a flag; training asks for it between optimizer steps. A second SIGTERM or SIGINT ends the
/// process at once.
public enum StopRequest {
  private static let flag = Atomic<Bool>(false)

  /// Whether this process was asked to stop.
  public static var isPending: Bool { flag.load(ordering: .relaxed) }

  /// Starts to take the signals as requests.
  public static func listen() {
    // The flag must exist before a handler touches it.
    flag.store(false, ordering: .relaxed)
    for number in [SIGUSR1, SIGTERM, SIGINT] {
      signal(number) { number in
        StopRequest.flag.store(true, ordering: .relaxed)
        if number != SIGUSR1 { signal(number, SIG_DFL) }
      }
    }
  }
}
