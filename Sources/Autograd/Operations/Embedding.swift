import CKernels
import Tensors

extension Tape {
  /// y[r] = base[r] + Σ_i tables[i][ids[i][r]]: one or more look-ups, summed.
  ///
  /// - Parameters:
  ///   - base: [R, C] to add to, or nil.
  ///   - tables: each [V_i, C].
  ///   - ids: R row numbers per table, already checked; with a single table and no base −1 gives zeros, for a row that
  ///     another rank has.
  ///   - wide: whether y is float32 in any precision.
  /// - Returns: [R, C], bf16 on a tape of that precision, unless C < 16.
  package func embedding(base: Variable? = nil, tables: [Parameter], ids: [[Int32]], wide: Bool = false) -> Variable {
    precondition(tables.count == ids.count && !tables.isEmpty, "\(tables.count) tables, \(ids.count) lists of ids")
    let (rows, columns) = (ids[0].count, tables[0].value.columns)
    for (table, ids) in zip(tables, ids) {
      precondition(
        ids.count == rows && table.value.columns == columns, "table \(table.shape) for [\(rows), \(columns)]")
    }
    let sources = zip(tables, ids).map { table, ids in
      table.valueRows.map { (values: $0, rows: table.places(of: ids)) } ?? (values: table.value, rows: ids)
    }
    for source in sources { requireRows(source.rows, of: source.values, allowsNone: tables.count == 1 && base == nil) }
    // A table with too few columns for a bf16 layer feeds a float32 layer.
    let rounds = precision == .bf16 && columns >= 16 && !wide
    let y = Tensor.matrix(uninitializedRows: rows, columns: columns, rounds ? .bfloat16 : .float32)
    ThreadTeam.split(rows, unit: 32, cost: 2 * columns * tables.count) { part in
      // In bf16 a few rows at a time are summed in the CPU's cache and then rounded.
      let block = rounds ? min(part.count, 32) : part.count
      let sums = rounds ? Tensor(uninitialized: [block, columns]) : y.rows(part)
      for start in stride(from: part.lowerBound, to: part.upperBound, by: block) {
        let rows = start..<min(start + block, part.upperBound)
        let target = sums.rows(0..<rows.count)
        if let base { target.update(from: base.value.rows(rows).converted(to: .float32)) }
        for index in sources.indices {
          sources[index].rows.withUnsafeBufferPointer { ids in
            let gather = index == 0 && base == nil ? rtk_gather_rows : rtk_gather_rows_add
            gather(target.floats, sources[index].values.floats, ids.baseAddress! + start, rows.count, columns)
          }
        }
        if rounds { rtk_f32_to_bf16(y.bf16Words + start * columns, target.floats, target.count) }
      }
    }
    return record(y, from: base.map { [$0] } ?? [], EmbeddingOperation(base: base, tables: tables, ids: ids))
  }
}

/// Traps for ids outside the table. Readers refuse such ids in data; this catches every other path.
private func requireRows(_ ids: [Int32], of table: Tensor, allowsNone: Bool) {
  var (least, most) = (Int32.max, Int32.min)
  for id in ids { (least, most) = (min(least, id), max(most, id)) }
  precondition(
    ids.isEmpty || least >= (allowsNone ? -1 : 0) && Int(most) < table.rows,
    "embedding: rows \(least)...\(most) of a table of \(table.rows)")
}

struct EmbeddingOperation: Operation {
  let base: Variable?
  let tables: [Parameter]
  let ids: [[Int32]]

  var parameters: [Parameter] { tables }

  // dtables[i][ids[i][r]] += dy[r], dbase = dy
  func backward(_ gradient: Tensor, _ gradients: inout Gradients) {
    let dy = gradient.converted(to: .float32)
    for (table, ids) in zip(tables, ids) {
      guard let gradient = table.gradient else { continue }
      rtk_scatter_add_rows(gradient.floats, dy.floats, table.places(of: ids), dy.rows, dy.columns)
    }
    if let base { gradients.add(dy, to: base, owned: false) }
  }
}
