import Foundation
import Platform
import TestSupport
import Testing

@testable import Tensors

#if canImport(Glibc)
  import Glibc
#endif

@Suite(.timeLimit(.minutes(1))) struct MappedTensorTests {
  /// Bytes of a mapping that this process has in memory, as the system counts them.
  private func resident(_ address: UnsafeMutableRawPointer) throws -> Int {
    let file = try #require(FileHandle(forReadingAtPath: "/proc/self/smaps"))
    let text = String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
    let start = String(UInt(bitPattern: address), radix: 16) + "-"
    let lines = text.split(separator: "\n").drop { !$0.hasPrefix(start) }
    let line = try #require(lines.first { $0.hasPrefix("Rss:") })
    return try #require(line.split(separator: " ").dropFirst().first.flatMap { Int($0) }) * 1024
  }

  @Test func `pages of a mapped file leave memory after their use, and come back as they were`() throws {
    let directory = try Shared.temporaryDirectory("mapped")
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let count = 1 << 20
    let values = (0..<count).map { Float($0) }
    let path = joinPath(directory, "values")
    try values.withUnsafeBytes { try writeFileAtomically(path, Data($0)) }
    let descriptor = open(path, O_RDONLY)
    defer { close(descriptor) }
    let address = try #require(mmap(nil, 4 * count, PROT_READ, MAP_SHARED, descriptor, 0))
    try #require(address != MAP_FAILED)
    defer { munmap(address, 4 * count) }
    for releasesPages in [true, false] {
      let tensor = Tensor(
        storage: Storage(borrowing: address, bytes: 4 * count, owner: nil, releasesPages: releasesPages), byteOffset: 0,
        shape: [1024, 1024])
      var (within, same) = (0, false)
      tensor.whileInMemory {
        same = tensor.array == values
        within = (try? resident(address)) ?? 0
      }
      let after = try resident(address)
      #expect(same && within == 4 * count && after == (releasesPages ? 0 : within))
    }
    // Of a part its own pages leave; where they are in a huge page, its neighbours may be mapped anew, too.
    let part = Tensor(
      storage: Storage(borrowing: address, bytes: 4 * count, owner: nil, releasesPages: true), byteOffset: 4 * 1000,
      shape: [500, 1024])
    part.whileInMemory { #expect(part.floats[0] == 1000) }
    #expect(try resident(address) <= 4 * count - 4 * part.count + 2 * 4096)
    let all = UnsafeBufferPointer(start: address.assumingMemoryBound(to: Float.self), count: count)
    #expect(all.elementsEqual(values))
  }
}
