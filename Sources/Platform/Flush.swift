import CSystem

#if canImport(Glibc)
  import Glibc
#endif

/// Brings what was written to an open file to its disk, as `fsync` does; 0, or −1 with `errno`.
///
/// A large file goes in pieces, so that a watcher sees on a slow disk that it advances.
func flushToDisk(_ descriptor: Int32) -> Int32 {
  let piece = 64 << 20
  var info = stat()
  if fstat(descriptor, &info) == 0, (info.st_mode & S_IFMT) == S_IFREG {
    var offset = 0
    while offset + piece < Int(info.st_size), rts_write_back(descriptor, off_t(offset), off_t(piece)) == 0 {
      Activity.tick()
      offset += piece
    }
  }
  defer { Activity.tick() }
  // What went wrong in a piece is an error of this call too.
  return fsync(descriptor)
}
