import Autograd
import Collectives
import Models
import Platform
import Safetensors
import Tensors

// No rank has the whole content of a checkpoint in memory: rank 0 receives it piece by piece and writes it to the file.
extension CheckpointStore {
  /// The content of a file in pieces, which the ranks assemble one after the other.
  struct Pieces {
    let declarations: [TensorDeclaration]
    let count: Int
    /// Makes the tensors of a piece, in the order of the declarations; collective. Only rank 0 needs them complete.
    let make: (Int) throws -> [(name: String, values: Tensor)]
  }

  /// Writes a file on rank 0 from pieces to which all ranks contribute; throws only on rank 0, after the last piece.
  func write(_ folder: String, _ name: String, _ pieces: Pieces) throws {
    var next = 0
    func make() throws -> [(name: String, values: Tensor)] {
      defer { next += 1 }
      return try pieces.make(next)
    }
    var failure: (any Error)?
    if communicator.isFirst {
      do {
        var writer = try SafetensorsWriter(
          joinPath(folder, name), tensors: pieces.declarations, reusing: joinPath(spareDirectory, name))
        while next < pieces.count {
          for (name, values) in try make() { try writer.append(name, floats: UnsafeBufferPointer(values.buffer)) }
        }
        // All files of the directory are flushed before it is renamed into place.
        try writer.finish(flushing: false)
      } catch { failure = error }
    }
    // After an error rank 0 still takes part in the remaining pieces, since the other ranks do not know of it.
    while next < pieces.count { _ = try make() }
    if let failure { throw failure }
  }

  /// The weights under the names of the family's checkpoints.
  ///
  /// - Parameter bring: gathers a weight into memory; collective.
  func weights(of trainer: Trainer, _ bring: @escaping (Parameter) throws -> Void) -> Pieces {
    let table = trainer.student.weightTable
    return Pieces(
      declarations: table.map { TensorDeclaration($0.name, .float32, $0.shape.array) }, count: table.count
    ) { index in
      if let parameter = table[index].parameter { try bring(parameter) }
      return [(table[index].name, table[index].stored)]
    }
  }

  /// The moments of every weight, bucket by bucket, those of lookup tables, then the projections that are trained with
  /// the student and do not belong to it.
  ///
  /// - Parameter bring: gathers a weight into memory; collective.
  func moments(of trainer: Trainer, _ bring: @escaping (Parameter) throws -> Void) -> Pieces {
    let (flat, optimizer, tables) = (trainer.flat, trainer.optimizer, trainer.tables)
    let dense = [("m", optimizer.firstMoments), ("v", optimizer.secondMoments)]
    var declarations = dense.flatMap { kind, _ in
      flat.parameters.map { TensorDeclaration("\(kind).\($0.name)", .float32, $0.shape.array) }
    }
    for table in tables {
      declarations += ["m", "v"].map {
        TensorDeclaration("\($0).\(table.parameter.name)", .float32, table.parameter.shape.array)
      }
    }
    declarations += trainer.projections.map { TensorDeclaration("w.\($0.name)", .float32, $0.shape.array) }
    let before = 2 * (flat.buckets.count + tables.count)
    return Pieces(declarations: declarations, count: before + trainer.projections.count) { index in
      if index >= before {
        let projection = trainer.projections[index - before]
        try bring(projection)
        return [("w.\(projection.name)", projection.value)]
      }
      let (bucket, rest) = (index % max(1, flat.buckets.count), index - 2 * flat.buckets.count)
      if rest < 0 {
        let (kind, moments) = dense[index / flat.buckets.count]
        let whole = try self.gathered(moments, bucket, flat, on: trainer.grid.ordered)
        return flat.members[bucket].map {
          ("\(kind).\(flat.parameters[$0].name)", flat.place($0, ofBucket: bucket, in: whole))
        }
      }
      let table = tables[rest / 2]
      let rows = rest % 2 == 0 ? table.optimizer.firstMoments : table.optimizer.secondMoments
      let name = "\(rest % 2 == 0 ? "m" : "v").\(table.parameter.name)"
      return try table.gathered(rows).map { [(name, $0)] } ?? []
    }
  }

  /// A bucket of moments, gathered from its owners on rank 0.
  private func gathered(
    _ moments: Tensor, _ bucket: Int, _ flat: FlatParameters, on ranks: any Communicator
  ) throws -> Tensor {
    let range = flat.buckets[bucket]
    if moments.count == flat.count { return moments.slice(at: range.lowerBound, [range.count]) }
    let whole = ranks.isFirst ? Tensor(uninitialized: [range.count]) : Tensor.absent([range.count])
    let own = flat.shard(bucket, of: moments)
    try ranks.gather(
      UnsafeBufferPointer(own.buffer), into: ranks.isFirst ? whole.buffer : nil,
      counts: Array(repeating: own.count, count: ranks.size), root: 0)
    return whole
  }
}
