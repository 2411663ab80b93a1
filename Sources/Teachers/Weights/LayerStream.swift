import Autograd
import Models
import Platform
import Tensors

/// Lets a rank have two layers and the head of a teacher in memory, and no more: the rest is in a mapped file.
///
///     block     embeddings    0          1          2        …    head
///     read      rows          all        all        all           all
///     asked for                          1 ahead    1 ahead
///     let go    behind it     behind it  behind it  behind it     never
///
/// When a pass enters a layer, the system is asked to read the next one from the disk; so there are two in memory, one
/// in use and one on its way.
public final class LayerStream: BlockResidency {
  private let blocks: [[UnsafeRawBufferPointer]]
  /// Keeps the mapping, which all blocks are in.
  private let owner: Storage?

  /// - Parameter model: whose weights lie in a shared mapping of a file, and nowhere else.
  public init(_ model: any Model) {
    let weights = model.blocks
    let kept = Set((weights.last ?? []).map(ObjectIdentifier.init))
    blocks = weights.enumerated().map { index, parameters in
      // What the head reads stays, a table among it that is tied to it.
      index == weights.count - 1
        ? [] : LayerStream.joined(parameters.filter { !kept.contains(ObjectIdentifier($0)) }.map(\.value.bytes))
    }
    owner = model.parameters.first?.value.storage
  }

  /// Neighbours in memory as one piece: pages go as a whole, and at each border one would stay.
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

  /// The most bytes that are in memory at one time: of two layers, or of one behind the embeddings, and of the head.
  public static func largestBytes(of model: any Model) -> Int {
    let bytes = model.blocks.map { $0.reduce(0) { $0 + $1.value.bytes.count } }
    let layers = bytes.dropFirst().dropLast()
    let pairs = zip(layers, layers.dropFirst()).map { $0 + $1 }
    return (pairs.max() ?? layers.max() ?? 0) + (bytes.last ?? 0)
  }

  public func enter(_ block: Int, _ direction: PassDirection) {
    // Of the embeddings only some rows are read.
    if block > 0 { blocks[block].forEach(MappedPages.bring) }
    if block + 1 < blocks.count { blocks[block + 1].forEach(MappedPages.prefetch) }
  }

  public func leave(_ block: Int, _ direction: PassDirection) { blocks[block].forEach(MappedPages.letGo) }
}
