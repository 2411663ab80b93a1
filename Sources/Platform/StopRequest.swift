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

  private static let signals = [SIGUSR1, SIGTERM, SIGINT]

  /// Keeps the signals for later, also through a start of the program anew, until `listen` or `release`.
  public static func hold() { mask(SIG_BLOCK) }

  /// Lets the signals act as they do without Retort.
  public static func release() { mask(SIG_UNBLOCK) }

  private static func mask(_ how: Int32) {
    var set = sigset_t()
    sigemptyset(&set)
    for number in signals { sigaddset(&set, number) }
    pthread_sigmask(how, &set, nil)
  }

  /// The end of a run that was asked to stop, which says when that was and what it means.
  public static func error(_ moment: String) -> RetortError {
    RetortError(.stopped, "stopped on request \(moment)", remedy: "run the same command again to continue")
  }

  /// Throws `.stopped` where this process was asked to stop; inside `agree`, where one rank does so for all.
  public static func refuse(_ moment: String) throws { if isPending { throw error(moment) } }

  /// Starts to take the signals as requests, those that were held included.
  public static func listen() {
    // The flag must exist before a handler touches it.
    flag.store(false, ordering: .relaxed)
    for number in signals {
      signal(number) { number in
        StopRequest.flag.store(true, ordering: .relaxed)
        if number != SIGUSR1 { signal(number, SIG_DFL) }
      }
    }
    release()
  }
}
