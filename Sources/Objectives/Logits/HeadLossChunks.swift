import Tensors

/// The chunk and block sizes of a head's loss, and their memory.
///
/// Each chunk of rows reads W and adds to dW once, so small chunks make slow products: with 32,000 classes, chunks of
/// 256 rows take a tenth longer than chunks of 512, which take 3 % longer than chunks of 1,024.
package enum HeadLossChunks {
  /// The maximum number of logits in a chunk: 64 MiB.
  static let mostLogits = 1 << 24
  /// Every chunk but the last ends at a multiple of `unit`, which keeps the number of product shapes small.
  static let unit = 32
  /// Classes per block.
  static let blockClasses = 2048

  /// The maximum rows per chunk: 256 to 1,024, depending on the vocabulary.
  package static func mostRows(classes: Int) -> Int {
    max(256, min(1024, mostLogits / max(1, classes) / unit * unit))
  }

  /// The chunks of `rows` rows: the fewest possible, of nearly equal size.
  static func ranges(rows: Int, classes: Int) -> [Range<Int>] {
    let most = mostRows(classes: classes)
    let (count, units) = ((rows + most - 1) / most, (rows + unit - 1) / unit)
    return (0..<count).map {
      units * $0 / count * unit..<min(rows, units * ($0 + 1) / count * unit)
    }
  }

  /// The blocks of `classes` classes; a block also ends at `border`, where terms with teachers end.
  static func blocks(classes: Int, border: Int? = nil) -> [Range<Int>] {
    func blocks(_ range: Range<Int>) -> [Range<Int>] {
      stride(from: range.lowerBound, to: range.upperBound, by: blockClasses).map {
        $0..<min($0 + blockClasses, range.upperBound)
      }
    }
    let border = border ?? classes
    return blocks(0..<border) + blocks(border..<classes)
  }

  /// The row count with the padding that bf16 products get.
  static func padded(_ rows: Int) -> Int { (rows + unit - 1) / unit * unit }

  /// Bytes of the logits and logit gradients that exist at one time, for all rows of a pass.
  ///
  /// - Parameters:
  ///   - classes: V, or this rank's part of it.
  ///   - teacherStates: whether a teacher's logits are computed from its states.
  package static func bytes(rows: Int, classes: Int, precision: Precision, teacherStates: Bool) -> Int {
    let largest = ranges(rows: rows, classes: classes).map(\.count).max() ?? 0
    let gradient = min(classes, blockClasses) * (precision == .bf16 ? 2 : 4)
    return padded(largest) * (4 * classes * (teacherStates ? 2 : 1) + gradient)
  }
}
