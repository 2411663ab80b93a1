#if canImport(Glibc)
  import Glibc
#endif

/// The descriptors 0, 1 and 2 of this process.
package enum StandardStreams {
  /// Makes lost output an error of the write instead of a signal or a damaged file; call it before anything else.
  ///
  /// Writing to a pipe without a reader gives EPIPE instead of SIGPIPE. A stream that is closed at the start is opened
  /// as `/dev/null` for the other direction: no data file gets its number, and a write to it or a read from it fails.
  package static func prepare() {
    signal(SIGPIPE, SIG_IGN)
    for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 && errno == EBADF {
      // open() returns the lowest free number, which is this one.
      _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
  }
}

/// Writes all bytes to a descriptor; retries after interruptions and waits while a non-blocking stream is full.
///
/// - Returns: 0, or the `errno` of the write that failed.
package func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32 {
  var rest = bytes
  while !rest.isEmpty {
    let count = Activity.waitingOutside { write(descriptor, rest.baseAddress, min(rest.count, 1 << 30)) }
    if count > 0 {
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    } else if count < 0, errno == EAGAIN {
      var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
      _ = Activity.waitingOutside { poll(&wanted, 1, -1) }
    } else if count == 0 || errno != EINTR {
      return count == 0 ? EIO : errno
    }
  }
  return 0
}

/// Reads a descriptor to its end; throws `.input` with the system's reason.
///
/// - Parameter name: the name of the stream, for the message.
package func readAll(from descriptor: Int32, name: String) throws -> [UInt8] {
  var bytes: [UInt8] = []
  var piece = [UInt8](repeating: 0, count: 1 << 18)
  while true {
    let count = Activity.waitingOutside { read(descriptor, &piece, piece.count) }
    if count > 0 {
      bytes += piece[..<count]
    } else if count == 0 {
      return bytes
    } else if errno == EAGAIN {
      var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      _ = Activity.waitingOutside { poll(&wanted, 1, -1) }
    } else if errno != EINTR {
      let closed = errno == EBADF ? "it is closed" : systemErrorText()
      throw RetortError(.input, "cannot read (\(closed))", at: name, remedy: "give the name of a file")
    }
  }
}
