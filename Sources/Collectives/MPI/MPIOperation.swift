import CMPI
import Platform

/// A nonblocking operation of one or several MPI requests, completed in order.
final class MPIOperation: PendingOperation {
  private var requests: [MPI_Request?] = []
  private var next = 0
  /// Called once for each chunk, in order, when the chunk has arrived.
  private var finish: ((Int) -> Void)?
  /// The communicator, scratch, datatypes and the caller's owner, kept until completion.
  private var kept: [AnyObject]

  init(_ communicator: MPICommunicator, keeping owner: AnyObject?, finish: ((Int) -> Void)? = nil) {
    kept = [communicator]
    if let owner { kept.append(owner) }
    self.finish = finish
    super.init(isComplete: false)
  }

  func keep(_ objects: [AnyObject]) { kept += objects }

  /// Starts the next chunk.
  func start(_ call: StaticString, _ body: (UnsafeMutablePointer<MPI_Request?>) -> Int32) throws {
    var request: MPI_Request? = cmpi_request_null()
    try check(body(&request), call)
    requests.append(request)
  }

  override func test() throws -> Bool {
    while next < requests.count {
      var done: Int32 = 0
      // Neither a wait nor a tick: a loop that only polls makes no progress.
      try checkCode(MPI_Test(&requests[next], &done, cmpi_status_ignore()), "MPI_Test")
      if done == 0 { return false }
      Activity.tick()
      advance()
    }
    complete()
    return true
  }

  override func wait() throws {
    while next < requests.count {
      try check(MPI_Wait(&requests[next], cmpi_status_ignore()), "MPI_Wait")
      advance()
    }
    complete()
  }

  private func advance() {
    finish?(next)
    next += 1
  }

  private func complete() {
    guard !isComplete else { return }
    isComplete = true
    finish = nil
    kept = []
    requests = []
    next = 0
  }

  deinit {
    guard !isComplete, !requests.isEmpty else { return }
    // MPI may still write into these: they must outlive the process's last MPI call.
    for object in kept { _ = Unmanaged.passRetained(object) }
    MPISession.noteAbandonedOperation()
  }
}
