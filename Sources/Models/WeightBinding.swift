import Autograd
import Safetensors
import Tensors

/// One tensor of a checkpoint file: its name in the file and the part of a parameter (or of a buffer) that holds all or
/// some of it.
package struct WeightBinding {
  /// The `transformers` name.
  package let name: String
  /// Names in older files, tried in order.
  package let aliases: [String]
  /// The values in the model; shares the parameter's memory.
  package var tensor: Tensor { parameter.map { part($0.value) } ?? buffer! }
  /// The gradient of the same part, if the parameter is trained.
  package var gradient: Tensor? { parameter?.gradient.map(part) }
  /// Whether a checkpoint may lack it; it is then initialised, with a remark.
  package let isHead: Bool
  /// The shape of the whole tensor in the file.
  package let shape: Shape

  /// The parameter that contains it; nil for a buffer.
  package let parameter: Parameter?
  private let buffer: Tensor?
  /// The rows of the parameter.
  private let rows: Range<Int>?
  /// The part of the file's tensor that the model has.
  private let extract: WeightExtract

  /// A whole parameter, or some of its rows.
  ///
  /// - Parameter extract: the part of the file's tensor, if a tensor-parallel shard does not have all of it.
  package init(
    _ name: String, _ parameter: Parameter, rows: Range<Int>? = nil, extract: WeightExtract = .all,
    aliases: [String] = [], isHead: Bool = false
  ) {
    self.name = name
    self.aliases = aliases
    self.parameter = parameter
    buffer = nil
    self.rows = rows
    self.extract = extract
    self.isHead = isHead
    let own = rows.map { parameter.value.rows($0) } ?? parameter.value
    shape = extract.wholeShape(of: own.shape)
  }

  /// A buffer that is stored with the model and is not trained.
  ///
  /// - Parameter isOptional: whether a checkpoint may lack it; it is then zero.
  init(_ name: String, buffer: Tensor, aliases: [String] = [], isOptional: Bool = false) {
    self.name = name
    self.aliases = aliases
    parameter = nil
    self.buffer = buffer
    rows = nil
    extract = .all
    isHead = isOptional
    shape = buffer.shape
  }

  /// The elements of the parameter that belong to this tensor; all elements of a buffer.
  package var elements: Range<Int> {
    guard let rows, let parameter else { return 0..<tensor.count }
    return rows.lowerBound * parameter.value.columns..<rows.upperBound * parameter.value.columns
  }

  private func part(_ tensor: Tensor) -> Tensor { rows.map { tensor.rows($0) } ?? tensor }

  /// Whether the file has the transpose of the parameter.
  package var isTransposed: Bool { if case .transposed = extract { true } else { false } }

  /// The values in the layout of the file: those of `tensor`, or a copy of them if the file has the transpose.
  package var stored: Tensor {
    guard isTransposed else { return tensor }
    let (own, copy) = (tensor, Tensor(uninitialized: shape))
    precondition(copy.count == own.count, "\(name): a part of a model is not stored")
    transpose(own.floats, rows: own.rows, columns: own.columns, into: copy.floats, stride: own.rows)
    return copy
  }

  /// The values of the file's tensor in the layout of the parameter, in memory of their own.
  package func values(of stored: StoredTensor) -> Tensor {
    let values = Tensor(uninitialized: tensor.shape)
    fill(values, from: stored)
    return values
  }

  /// Converts the model's part of the file's tensor into the parameter; reads no other part of the file.
  package func fill(from stored: StoredTensor) { fill(tensor, from: stored) }

  private func fill(_ tensor: Tensor, from stored: StoredTensor) {
    let target = tensor.floats
    switch extract {
    case .all: stored.copyFloats(into: target)
    case .rows(let rows, _):
      let columns = shape.columns
      stored.copyFloats(into: target, range: rows.lowerBound * columns..<rows.upperBound * columns)
    case .groups(let rows, let count, let groups):
      let columns = shape.columns
      for group in 0..<groups {
        let first = (group * count + rows.lowerBound) * columns
        stored.copyFloats(
          into: target + group * rows.count * columns, range: first..<first + rows.count * columns)
      }
    case .columns(let columns, _):
      for row in 0..<shape.rows {
        let start = row * shape.columns
        stored.copyFloats(
          into: target + row * columns.count, range: start + columns.lowerBound..<start + columns.upperBound)
      }
    case .transposed(let rows, let columns, _):
      // Some rows of the file at a time, whose elements are neighbours in the parameter.
      let scratch = Tensor(uninitialized: [16, columns.count])
      for first in stride(from: rows.lowerBound, to: rows.upperBound, by: 16) {
        let count = min(16, rows.upperBound - first)
        for row in 0..<count {
          let start = (first + row) * shape.columns
          stored.copyFloats(
            into: scratch.floats + row * columns.count,
            range: start + columns.lowerBound..<start + columns.upperBound)
        }
        transpose(
          scratch.floats, rows: count, columns: columns.count, into: target + first - rows.lowerBound,
          stride: rows.count)
      }
    }
    stored.releasePages()
  }
}

/// The part of a stored tensor that a tensor-parallel shard has.
package enum WeightExtract {
  /// The whole tensor.
  case all
  /// Some of `of` rows.
  case rows(Range<Int>, of: Int)
  /// The same of `of` rows in each of several equal groups of rows.
  case groups(Range<Int>, of: Int, groups: Int)
  /// Some of `of` columns of every row.
  case columns(Range<Int>, of: Int)
  /// The transpose of a part of a matrix of shape `of`.
  case transposed(rows: Range<Int>, columns: Range<Int>, of: [Int])

  /// Some of `of` rows, or all of them.
  static func part(rows: Range<Int>, of count: Int) -> WeightExtract {
    rows == 0..<count ? .all : .rows(rows, of: count)
  }

  /// The shape of the stored tensor if its part has this shape.
  func wholeShape(of part: Shape) -> Shape {
    var extents = part.array
    switch self {
    case .all: break
    case .rows(let rows, let count):
      precondition(part.rows == rows.count && rows.upperBound <= count, "rows \(rows) of \(count) in \(part)")
      extents[0] = count
    case .groups(let rows, let count, let groups):
      precondition(
        part.rows == groups * rows.count && rows.upperBound <= count,
        "rows \(rows) of \(count) in \(groups) groups in \(part)")
      extents[0] = groups * count
    case .columns(let columns, let count):
      precondition(
        part.rank == 2 && part.columns == columns.count && columns.upperBound <= count,
        "columns \(columns) of \(count) in \(part)")
      extents[1] = count
    case .transposed(let rows, let columns, let whole):
      precondition(
        part.array == [columns.count, rows.count] && rows.upperBound <= whole[0] && columns.upperBound <= whole[1],
        "rows \(rows) and columns \(columns) of \(whole), transposed, in \(part)")
      extents = whole
    }
    return Shape(extents)
  }
}

/// Writes the transpose of [rows, columns] into rows of `stride` elements.
private func transpose(
  _ source: UnsafeMutablePointer<Float>, rows: Int, columns: Int, into target: UnsafeMutablePointer<Float>, stride: Int
) {
  // Blocks whose lines stay in the CPU's cache.
  for first in Swift.stride(from: 0, to: rows, by: 16) {
    for column in 0..<columns {
      for row in first..<min(first + 16, rows) { target[column * stride + row] = source[row * columns + column] }
    }
  }
}
