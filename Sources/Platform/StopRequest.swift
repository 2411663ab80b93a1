import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// A request by signal (SIGUSR1, SIGTERM, SIGINT) to save and end the run.
///
/// The handler only sets a flag, which training checks between optimizer steps. A second SIGTERM or SIGINT ends the
/// process at once.
package enum StopRequest {
  private static let flag = Atomic<Bool>(false)

  /// Whether this process was asked to stop.
  package static var isPending: Bool { flag.load(ordering: .relaxed) }

  private static let signals = [SIGUSR1, SIGTERM, SIGINT]

  /// Blocks the signals, also across an `exec` of the program, until `listen` or `release`.
  package static func hold() { mask(SIG_BLOCK) }

  /// Unblocks the signals, which then have their default effect.
  package static func release() { mask(SIG_UNBLOCK) }

  private static func mask(_ how: Int32) {
    var set = sigset_t()
    sigemptyset(&set)
    for number in signals { sigaddset(&set, number) }
    pthread_sigmask(how, &set, nil)
  }

  /// The error that ends a stopped run; `moment` says when it stopped.
  package static func error(_ moment: String) -> RetortError {
    RetortError(.stopped, "stopped on request \(moment)", remedy: "run the same command again to continue")
  }

  /// Throws `.stopped` if this process was asked to stop; call it inside `agree`, so that all ranks throw.
  package static func refuse(_ moment: String) throws { if isPending { throw error(moment) } }

  /// Treats the signals as requests from now on, including those that were blocked.
  package static func listen() {
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
