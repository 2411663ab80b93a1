import CSystem

#if canImport(Glibc)
  import Glibc
#endif

/// Flushes an open file to its disk, as `fsync` does; returns 0, or −1 with `errno`.
///
/// A large file is flushed in pieces, so that the watchdog sees progress on a slow disk.
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
  // This call also reports the errors of the pieces.
  return fsync(descriptor)
}
