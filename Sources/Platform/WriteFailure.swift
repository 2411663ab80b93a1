#if canImport(Glibc)
  import Glibc
#endif

extension RetortError {
  /// The error for a file or directory that could not be created or written, with a reason that the reader can act on.
  ///
  /// The system reports the path that it was given. This names the cause: the nearest parent that is missing, is a
  /// file, is not writable, or is on a file system that accepts no files.
  ///
  /// - Parameters:
  ///   - what: the failure in words, such as "cannot create the file".
  ///   - code: the `errno`.
  static func ofWriting(_ what: String, _ path: String, _ code: Int32, kind: Kind = .checkpoint) -> RetortError {
    let nearest = nearestExisting(above: path)
    let parent = parentDirectory(of: path).isEmpty ? "." : parentDirectory(of: path)
    var (reason, remedy) = (systemErrorText(code), "check the path, or choose another one")
    switch code {
    case ENOENT where nearest != parent && !isDirectory(parent):
      (reason, remedy) = ("there is no directory \(parent)", "create it first, or choose another path")
    case ENOENT, EOPNOTSUPP:
      (reason, remedy) = ("the file system of \(nearest) does not accept it", "choose another path")
    case EEXIST:
      (reason, remedy) = ("\(path) is a file, not a directory", "choose another path")
    case ENOTDIR:
      (reason, remedy) = ("\(nearest) is a file, not a directory", "choose another path")
    case EACCES, EPERM:
      reason = "no permission to write in \(nearest), as user \(geteuid())"
      remedy = "change the permissions of that directory, or choose another path"
    case EROFS:
      (reason, remedy) = ("\(nearest) is on a read-only file system", "choose a writable path")
    case ENOSPC, EDQUOT:
      remedy = "free space on the file system of \(nearest), or choose another one"
    case EFBIG:
      remedy = "raise the file size limit (ulimit -f), or choose another file system"
    case EMFILE, ENFILE:
      remedy = "raise the limit of open files (ulimit -n)"
    case ENAMETOOLONG:
      remedy = "choose a shorter name"
    default: break
    }
    return RetortError(kind, "\(what) (\(reason))", at: path, remedy: remedy)
  }

  /// The nearest existing directory above a path; "." for a name without a directory.
  private static func nearestExisting(above path: String) -> String {
    var nearest = path
    repeat {
      let parent = parentDirectory(of: nearest)
      if parent == nearest { break }
      nearest = parent.isEmpty ? "." : parent
    } while !fileExists(nearest) && nearest != "."
    return nearest
  }
}
