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
  init(_ name: String, buffer: Tensor) {
    self.name = name
    aliases = []
    parameter = nil
    self.buffer = buffer
    rows = nil
    extract = .all
    isHead = false
    shape = buffer.shape
  }

  /// The elements of the parameter that belong to this tensor; all elements of a buffer.
  package var elements: Range<Int> {
    guard let rows, let parameter else { return 0..<tensor.count }
    return rows.lowerBound * parameter.value.columns..<rows.upperBound * parameter.value.columns
  }

  private func part(_ tensor: Tensor) -> Tensor { rows.map { tensor.rows($0) } ?? tensor }

  /// Converts the model's part of the file's tensor into the parameter; reads no other part of the file.
  func fill(from stored: StoredTensor) {
    let target = tensor.floats
    switch extract {
    case .all: stored.copyFloats(into: target)
    case .rows(let rows, _):
      let columns = shape.columns
      stored.copyFloats(into: target, range: rows.lowerBound * columns..<rows.upperBound * columns)
    case .columns(let columns, _):
      for row in 0..<shape.rows {
        let start = row * shape.columns
        stored.copyFloats(
          into: target + row * columns.count, range: start + columns.lowerBound..<start + columns.upperBound)
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
  /// Some of `of` columns of every row.
  case columns(Range<Int>, of: Int)

  /// The shape of the stored tensor if its part has this shape.
  func wholeShape(of part: Shape) -> Shape {
    var extents = part.array
    switch self {
    case .all: break
    case .rows(let rows, let count):
      precondition(part.rows == rows.count && rows.upperBound <= count, "rows \(rows) of \(count) in \(part)")
      extents[0] = count
    case .columns(let columns, let count):
      precondition(
        part.rank == 2 && part.columns == columns.count && columns.upperBound <= count,
        "columns \(columns) of \(count) in \(part)")
      extents[1] = count
    }
    return Shape(extents)
  }
}
