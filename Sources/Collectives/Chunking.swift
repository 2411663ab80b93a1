import Platform

/// How a long buffer is cut into messages; every rank of a communicator must use the same.
///
/// MPI counts are C ints (a count of 2³² + 10 reduces 10 elements and reports success), and messages of a few MiB
/// are several times faster than one large call. So every operation goes in chunks:
///
///     buffer   |----------------------------------------------|  count elements
///     chunks   |-------------|-------------|-------------|----|  at most `bytes` and `elementCap` each
public struct Chunking: Equatable, Sendable {
  /// The most bytes in one message; an element is never cut, so at least one element is sent.
  public var bytes: Int
  /// The most elements in one message.
  public var elementCap: Int
  /// The largest offset, in elements, that is handed to MPI as a displacement (a C int).
  package var displacementCap = Int(Int32.max)

  /// The environment variable that sets `bytes`.
  public static let variable = "RETORT_MPI_CHUNK_BYTES"
  /// 4 MiB, the fastest size through shared memory.
  public static let defaultBytes = 4 << 20
  /// 2²⁸ elements.
  public static let maximumElements = 1 << 28

  /// A chunking; both limits must be positive, and `elementCap` is cut down to 2²⁸.
  public init(bytes: Int = Chunking.defaultBytes, elementCap: Int = Chunking.maximumElements) {
    precondition(bytes > 0 && elementCap > 0, "a chunk of \(bytes) bytes or \(elementCap) elements holds nothing")
    self.bytes = bytes
    self.elementCap = min(elementCap, Chunking.maximumElements)
  }

  /// The default, or what `RETORT_MPI_CHUNK_BYTES` says: bytes from 1,024 to 2³⁰; throws `.configuration` otherwise.
  public init(environment: [String: String]) throws {
    self.init()
    guard let text = environment[Chunking.variable], !text.isEmpty else { return }
    guard let value = Int(text), (1 << 10)...(1 << 30) ~= value else {
      throw RetortError(
        .configuration, "\"\(text)\" is not a number of bytes from 1024 to 1073741824",
        at: "environment variable \(Chunking.variable)", remedy: "unset it for the default of \(Chunking.defaultBytes)")
    }
    bytes = value
  }

  /// How many elements of `stride` bytes fit in a message.
  public func elements(stride: Int) -> Int { max(1, min(bytes / stride, elementCap)) }

  /// How many elements of each of `ranks` blocks fit in one exchange of blocks.
  ///
  /// The messages of one exchange share the budget, so that its scratch stays in cache, down to 64 KiB a message
  /// (or the budget, where that is less): below that the start of a message costs more than its bytes.
  public func blockElements(stride: Int, ranks: Int) -> Int {
    let share = max(bytes / max(ranks, 1), min(bytes, 64 << 10))
    return max(1, min(share / stride, elementCap))
  }

  /// The chunks of a buffer of `count` elements of `stride` bytes, in order; none for an empty buffer.
  public func chunks(of count: Int, stride: Int) -> ChunkSequence {
    ChunkSequence(count: count, width: elements(stride: stride))
  }

  /// The chunks of each of `ranks` equal blocks of `count` elements of `stride` bytes, in order.
  public func blockChunks(of count: Int, stride: Int, ranks: Int) -> ChunkSequence {
    ChunkSequence(count: count, width: blockElements(stride: stride, ranks: ranks))
  }
}

/// The ranges 0..<width, width..<2·width, … that cover 0..<count.
public struct ChunkSequence: RandomAccessCollection, Sendable {
  /// Elements that the ranges cover.
  public let elementCount: Int
  /// Elements of every range but the last, which may have fewer.
  public let width: Int

  /// Ranges that cover 0..<count, `width` long except for the last.
  public init(count: Int, width: Int) {
    precondition(count >= 0 && width > 0, "cannot cut \(count) elements into chunks of \(width)")
    elementCount = count
    self.width = width
  }

  public var startIndex: Int { 0 }
  public var endIndex: Int { elementCount / width + (elementCount % width == 0 ? 0 : 1) }

  /// The elements of chunk `index`: index·width ..< min((index + 1)·width, elementCount).
  public subscript(index: Int) -> Range<Int> {
    let start = index * width
    return start..<(start + Swift.min(width, elementCount - start))
  }
}
