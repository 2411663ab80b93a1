import Tensors

/// How the work of a head's loss is cut, and what memory that takes.
///
/// Each chunk of rows reads W and adds to dW once more, so few rows make slow products: of 32,000 classes chunks of 256
/// rows take a tenth longer than those of 512, and these 3 % longer than those of 1,024.
public enum HeadLossChunks {
  /// Numbers of logits that a chunk may have: 64 MiB.
  static let mostLogits = 1 << 24
  /// Chunks end at multiples of it, but for the last, so that few shapes of products occur.
  static let unit = 32
  /// Classes of a block.
  static let blockClasses = 2048

  /// The most rows of a chunk: some hundreds, however large the vocabulary is.
  public static func mostRows(classes: Int) -> Int {
    max(256, min(1024, mostLogits / max(1, classes) / unit * unit))
  }

  /// The chunks of so many rows: as few as may be, of nearly equal size.
  static func ranges(rows: Int, classes: Int) -> [Range<Int>] {
    let most = mostRows(classes: classes)
    let (count, units) = ((rows + most - 1) / most, (rows + unit - 1) / unit)
    return (0..<count).map {
      units * $0 / count * unit..<min(rows, units * ($0 + 1) / count * unit)
    }
  }

  /// The blocks of so many classes.
  static func blocks(classes: Int) -> [Range<Int>] {
    stride(from: 0, to: classes, by: blockClasses).map { $0..<min($0 + blockClasses, classes) }
  }

  /// Rows with the padding behind them that products of bf16 get.
  static func padded(_ rows: Int) -> Int { (rows + unit - 1) / unit * unit }

  /// Bytes of logits and of their gradients that are there at one time, for all rows of a pass.
  ///
  /// - Parameters:
  ///   - classes: V, or this rank's part of it.
  ///   - teacherStates: whether a teacher's logits are made from its states.
  public static func bytes(rows: Int, classes: Int, precision: Precision, teacherStates: Bool) -> Int {
    let largest = ranges(rows: rows, classes: classes).map(\.count).max() ?? 0
    let gradient = min(classes, blockClasses) * (precision == .bf16 ? 2 : 4)
    return padded(largest) * (4 * classes * (teacherStates ? 2 : 1) + gradient)
  }
}
