/// Tells whether this process may still write to an output directory.
///
/// All code that renames, replaces or removes a file of an output directory checks it first, so that a process that
/// has outlived its job or lost its lock does not change the files of the next job.
package protocol WriteFence: AnyObject {
  /// Throws `.checkpoint`, naming the new holder, if the directory no longer belongs to this job.
  func requireHeld() throws
}
