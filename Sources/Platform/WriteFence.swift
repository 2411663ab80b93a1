/// Says whether this process may still write to an output directory.
///
/// Everything that renames, replaces or removes a file of an output directory asks first, so that a process that
/// outlived its job, or lost its lock, changes nothing of the job that came after it.
public protocol WriteFence: AnyObject {
  /// Throws `.checkpoint` with the new holder where the directory is no longer this job's.
  func requireHeld() throws
}
