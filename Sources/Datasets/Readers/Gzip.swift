import CZlib
import Foundation
import Platform

/// Decompresses gzip files (RFC 1952), including files of several members.
enum Gzip {
  /// Half of the machine's memory: more decompressed text leaves too little memory for the work.
  static var largest: Int { Int(clamping: ProcessInfo.processInfo.physicalMemory / 2) }

  /// The decompressed bytes; the caller deallocates them.
  ///
  /// - Parameter limit: maximum number of decompressed bytes.
  /// Throws `.input` for damaged or truncated data, and for more bytes than the limit.
  static func decompress(_ source: UnsafeRawBufferPointer, path: String, limit: Int = largest) throws
    -> UnsafeMutableRawBufferPointer
  {
    var stream = z_stream()
    guard retort_inflate_start(&stream) == Z_OK else {
      throw RetortError(.unexpected, "zlib cannot start", at: path)
    }
    defer { inflateEnd(&stream) }
    var capacity = max(1, min(limit, max(1 << 16, source.count &* 4)))
    guard var memory = malloc(capacity) else { throw outOfMemory(capacity, path) }
    var (read, written) = (0, 0)
    func refuse(_ what: String) -> RetortError {
      free(memory)
      return RetortError(
        .input, what, at: path, remedy: "copy or make the file again; gzip -t \(fileName(of: path)) checks it")
    }
    while true {
      if written == capacity {
        guard capacity < limit else {
          free(memory)
          throw RetortError(
            .input, "decompresses to more than \(grouped(limit)) bytes, half of this machine's memory", at: path,
            remedy: "decompress it with gunzip: a plain file is mapped and needs no memory")
        }
        let larger = min(limit, capacity > limit / 2 ? limit : capacity * 2)
        guard let moved = realloc(memory, larger) else {
          free(memory)
          throw outOfMemory(larger, path)
        }
        memory = moved
        capacity = larger
      }
      // zlib counts with 32 bits.
      let (input, room) = (min(source.count - read, 1 << 30), min(capacity - written, 1 << 30))
      stream.next_in = UnsafeMutablePointer(
        mutating: source.baseAddress.map { $0 + read }?.assumingMemoryBound(to: UInt8.self))
      stream.avail_in = UInt32(input)
      stream.next_out = (memory + written).assumingMemoryBound(to: UInt8.self)
      stream.avail_out = UInt32(room)
      let status = inflate(&stream, Z_NO_FLUSH)
      read += input - Int(stream.avail_in)
      written += room - Int(stream.avail_out)
      switch status {
      case Z_OK, Z_BUF_ERROR:
        if read == source.count, stream.avail_out > 0 { throw refuse("the gzip data ends too early") }
      case Z_STREAM_END:
        // A file may have several members; zeros after the last one are padding.
        while read < source.count, source[read] == 0 { read += 1 }
        if read == source.count { return UnsafeMutableRawBufferPointer(start: memory, count: written) }
        guard inflateReset(&stream) == Z_OK else { throw refuse("the gzip data is damaged") }
      default: throw refuse("the gzip data is damaged (\(stream.msg.map { String(cString: $0) } ?? "zlib \(status)"))")
      }
    }
  }

  private static func outOfMemory(_ bytes: Int, _ path: String) -> RetortError {
    RetortError(
      .input, "there is no memory for \(grouped(bytes)) decompressed bytes", at: path,
      remedy: "decompress it with gunzip: a plain file is mapped and needs no memory")
  }
}
