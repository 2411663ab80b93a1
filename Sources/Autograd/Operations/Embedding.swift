import CKernels
import Tensors

extension Tape {
  /// y[r] = base[r] + Σ_i tables[i][ids[i][r]]: one or more look-ups, summed.
  ///
  /// - Parameters:
  ///   - base: [R, C] to add to, or nil.
  ///   - tables: each [V_i, C].
  ///   - ids: for each table R row numbers, already checked to be inside.
  /// - Returns: [R, C].
  public func embedding(base: Variable? = nil, tables: [Parameter], ids: [[Int32]]) -> Variable {
    precondition(tables.count == ids.count && !tables.isEmpty, "\(tables.count) tables, \(ids.count) lists of ids")
    let (rows, columns) = (ids[0].count, tables[0].value.columns)
    let y = Tensor(uninitialized: [rows, columns])
    for (index, table) in tables.enumerated() {
      precondition(
        ids[index].count == rows && table.value.columns == columns, "table \(table.shape) for [\(rows), \(columns)]")
      if index == 0, base == nil {
        rtk_gather_rows(y.floats, table.value.floats, ids[index], rows, columns)
      } else {
        if index == 0, let base { y.update(from: base.value) }
        rtk_gather_rows_add(y.floats, table.value.floats, ids[index], rows, columns)
      }
    }
    return record(y, from: base.map { [$0] } ?? [], EmbeddingOperation(base: base, tables: tables, ids: ids))
  }
}

struct EmbeddingOperation: Operation {
  let base: Variable?
  let tables: [Parameter]
  let ids: [[Int32]]

  var parameters: [Parameter] { tables }

  // dtables[i][ids[i][r]] += dy[r], dbase = dy
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    for (table, ids) in zip(tables, ids) {
      guard let gradient = table.gradient else { continue }
      rtk_scatter_add_rows(gradient.floats, dy.floats, rows(of: ids, in: table), dy.rows, dy.columns)
    }
    if let base { gradients.add(dy, to: base, owned: false) }
  }

  /// Where the gradient of each looked-up row lies.
  private func rows(of ids: [Int32], in table: Parameter) -> [Int32] {
    guard let places = table.gradientRows else { return ids }
    return ids.map { id in
      let place = places[Int(id)]
      precondition(place >= 0, "row \(id) of \(table.name) is read, but has no place in its gradient")
      return place
    }
  }
}
