import Platform

/// How a long buffer is cut into messages; all ranks of a communicator must use the same chunking.
///
/// MPI counts are C ints (a count of 2³² + 10 reduces 10 elements and reports success), and messages of a few MiB
/// are several times faster than one large call. So every operation is split into chunks:
///
///     buffer   |----------------------------------------------|  count elements
///     chunks   |-------------|-------------|-------------|----|  at most `bytes` and `elementCap` each
package struct Chunking: Equatable, Sendable {
  /// The most bytes in one message; an element is never cut, so at least one element is sent.
  package var bytes: Int
  /// The most elements in one message.
  package var elementCap: Int
  /// The largest offset, in elements, that is passed to MPI as a displacement (a C int).
  package var displacementCap = Int(Int32.max)

  /// The environment variable that sets `bytes`.
  package static let variable = "RETORT_MPI_CHUNK_BYTES"
  /// 4 MiB, the fastest size through shared memory.
  package static let defaultBytes = 4 << 20
  /// 2²⁸ elements.
  package static let maximumElements = 1 << 28

  /// Makes a chunking; both limits must be positive, and `elementCap` is clamped to 2²⁸.
  package init(bytes: Int = Chunking.defaultBytes, elementCap: Int = Chunking.maximumElements) {
    precondition(bytes > 0 && elementCap > 0, "a chunk of \(bytes) bytes or \(elementCap) elements holds nothing")
    self.bytes = bytes
    self.elementCap = min(elementCap, Chunking.maximumElements)
  }

  /// The default, or the bytes in `RETORT_MPI_CHUNK_BYTES`, from 1,024 to 2³⁰; throws `.configuration` otherwise.
  package init(environment: [String: String]) throws {
    self.init()
    guard let text = environment[Chunking.variable], !text.isEmpty else { return }
    guard let value = Int(text), (1 << 10)...(1 << 30) ~= value else {
      throw RetortError(
        .configuration, "\"\(text)\" is not a number of bytes from 1024 to 1073741824",
        at: "environment variable \(Chunking.variable)", remedy: "unset it for the default of \(Chunking.defaultBytes)")
    }
    bytes = value
  }

  /// The number of elements of `stride` bytes that fit in a message.
  package func elements(stride: Int) -> Int { max(1, min(bytes / stride, elementCap)) }

  /// The number of elements of each of `ranks` blocks that fit in one exchange of blocks.
  ///
  /// The messages of one exchange share `bytes`, so that its scratch stays in cache, but have at least 64 KiB each
  /// (or `bytes`, if less): below that the latency of a message exceeds its transfer time.
  package func blockElements(stride: Int, ranks: Int) -> Int {
    let share = max(bytes / max(ranks, 1), min(bytes, 64 << 10))
    return max(1, min(share / stride, elementCap))
  }

  /// The chunks of a buffer of `count` elements of `stride` bytes, in order; none for an empty buffer.
  package func chunks(of count: Int, stride: Int) -> ChunkSequence {
    ChunkSequence(count: count, width: elements(stride: stride))
  }

  /// The chunks of each of `ranks` equal blocks of `count` elements of `stride` bytes, in order.
  package func blockChunks(of count: Int, stride: Int, ranks: Int) -> ChunkSequence {
    ChunkSequence(count: count, width: blockElements(stride: stride, ranks: ranks))
  }
}

/// The ranges 0..<width, width..<2·width, …, which cover 0..<count.
package struct ChunkSequence: RandomAccessCollection, Sendable {
  /// The number of elements that the ranges cover.
  package let elementCount: Int
  /// The elements of each range; the last may have fewer.
  package let width: Int

  /// Covers 0..<count with ranges of `width` elements; the last may have fewer.
  package init(count: Int, width: Int) {
    precondition(count >= 0 && width > 0, "cannot cut \(count) elements into chunks of \(width)")
    elementCount = count
    self.width = width
  }

  package var startIndex: Int { 0 }
  package var endIndex: Int { elementCount / width + (elementCount % width == 0 ? 0 : 1) }

  /// The elements of chunk `index`: index·width ..< min((index + 1)·width, elementCount).
  package subscript(index: Int) -> Range<Int> {
    let start = index * width
    return start..<(start + Swift.min(width, elementCount - start))
  }
}
