import Autograd
import Models
import Platform
import Tensors

/// Streams a teacher's layers from a mapped file, so that a rank has two layers and the head in memory.
///
///     block        embeddings    0          1          2        …    head
///     read         rows          all        all        all           all
///     prefetched                            1 ahead    1 ahead
///     released     after it      after it   after it   after it      never
///
/// When a pass enters a layer, it asks the system to read the next one from the disk; so two layers are in memory, one
/// in use and one being read.
package final class LayerStream: TapeObserver {
  /// True: pages are released when the pass leaves a layer.
  package let releasesWeights = true
  private let blocks: [[UnsafeRawBufferPointer]]
  /// Keeps the mapping of all blocks alive.
  private let owner: Storage?

  /// - Parameter model: a model whose weights are in a shared file mapping.
  package init(_ model: any Model) {
    let weights = model.blocks
    let kept = Set((weights.last ?? []).map(ObjectIdentifier.init))
    blocks = weights.enumerated().map { index, parameters in
      // The head's weights stay in memory, including a table that is tied to it.
      index == weights.count - 1
        ? [] : LayerStream.joined(parameters.filter { !kept.contains(ObjectIdentifier($0)) }.map(\.value.bytes))
    }
    owner = model.parameters.first?.value.storage
  }

  /// Joins adjacent pieces, since only whole pages are released and a page at each boundary would stay.
  private static func joined(_ pieces: [UnsafeRawBufferPointer]) -> [UnsafeRawBufferPointer] {
    let sorted = pieces.compactMap { piece in piece.baseAddress.map { ($0, piece.count) } }.sorted { $0.0 < $1.0 }
    var result: [(start: UnsafeRawPointer, count: Int)] = []
    for (start, count) in sorted {
      // Weights begin on cache lines.
      if let last = result.last, start - (last.start + last.count) < 64 {
        result[result.count - 1].count = start - last.start + count
      } else {
        result.append((start, count))
      }
    }
    return result.map { UnsafeRawBufferPointer(start: $0.start, count: $0.count) }
  }

  /// The most bytes in memory at one time: two consecutive layers (or one, if there is only one) and the head.
  package static func largestBytes(of model: any Model) -> Int {
    let bytes = model.blocks.map { $0.reduce(0) { $0 + $1.value.bytes.count } }
    let layers = bytes.dropFirst().dropLast()
    let pairs = zip(layers, layers.dropFirst()).map { $0 + $1 }
    return (pairs.max() ?? layers.max() ?? 0) + (bytes.last ?? 0)
  }

  package func enter(_ block: Int, _ direction: PassDirection) {
    // A pass reads only some rows of the embeddings.
    if block > 0 { blocks[block].forEach(MappedPages.populate) }
    if block + 1 < blocks.count { blocks[block + 1].forEach(MappedPages.prefetch) }
  }

  package func leave(_ block: Int, _ direction: PassDirection) { blocks[block].forEach(MappedPages.release) }
}
