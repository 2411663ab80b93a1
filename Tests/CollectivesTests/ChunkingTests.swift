import Collectives
import Platform
import Testing

@Suite struct ChunkingTests {
  @Test("chunks cover the buffer once, in order, none longer than the limit")
  func cover() {
    for count in [0, 1, 15, 16, 17, 32, 1000] {
      for bytes in [1, 4, 64, 4096] {
        let chunking = Chunking(bytes: bytes)
        let chunks = chunking.chunks(of: count, stride: 4)
        #expect(chunks.flatMap { Array($0) } == Array(0..<count))
        #expect(chunks.allSatisfy { !$0.isEmpty && $0.count <= max(1, bytes / 4) })
        #expect(chunks.count == chunks.endIndex)
      }
    }
  }

  @Test("an empty buffer has no chunks")
  func empty() { #expect(Chunking().chunks(of: 0, stride: 4).isEmpty) }

  @Test("a count beyond the range of C ints is cut into counts within it")
  func large() {
    let count = 1 << 33 | 10
    let chunking = Chunking(bytes: 1 << 40)
    let chunks = chunking.chunks(of: count, stride: 1)
    #expect(chunks.allSatisfy { $0.count <= 1 << 28 })
    #expect(chunks.reduce(0) { $0 + $1.count } == count)
    #expect(chunks.last?.upperBound == count)
    #expect(chunks.count == 33)
  }

  @Test("the default is 4 MiB a message and at most 2^28 elements, whatever is asked")
  func defaults() {
    #expect(Chunking().elements(stride: 4) == 1 << 20)
    #expect(Chunking(bytes: 1 << 40, elementCap: 1 << 40).elements(stride: 1) == 1 << 28)
  }

  @Test("exchanges of blocks share the budget over the ranks, but not below 64 KiB a message")
  func blocks() {
    #expect(Chunking().blockElements(stride: 4, ranks: 1) == 1 << 20)
    #expect(Chunking().blockElements(stride: 4, ranks: 4) == 1 << 18)
    #expect(Chunking().blockElements(stride: 4, ranks: 4096) == 1 << 14)
    #expect(Chunking(bytes: 64).blockElements(stride: 4, ranks: 4096) == 16)
    #expect(Chunking(bytes: 1).blockElements(stride: 8, ranks: 2) == 1)
  }

  @Test("the environment sets the bytes of a chunk, and nonsense is refused with the range")
  func environment() throws {
    #expect(try Chunking(environment: [:]) == Chunking())
    #expect(try Chunking(environment: ["RETORT_MPI_CHUNK_BYTES": ""]) == Chunking())
    #expect(try Chunking(environment: ["RETORT_MPI_CHUNK_BYTES": "65536"]).bytes == 65536)
    for bad in ["4MiB", "0", "-1", "1023", "1073741825", "99999999999999999999"] {
      let error = #expect(throws: RetortError.self) { try Chunking(environment: ["RETORT_MPI_CHUNK_BYTES": bad]) }
      #expect(error?.kind == .configuration)
      #expect(error?.description.contains("RETORT_MPI_CHUNK_BYTES") == true)
    }
  }
}
