import Autograd
import Collectives
import Models
import Platform
import Safetensors
import Tensors

// What a checkpoint has is nowhere as a whole: it comes to rank 0 piece by piece, and goes into the file.
extension CheckpointStore {
  /// The content of a file, in pieces that ranks put together one after the other.
  struct Pieces {
    let declarations: [TensorDeclaration]
    let count: Int
    /// Some of the declared tensors, in their order; collective. Elsewhere than on rank 0 they need not be whole.
    let make: (Int) throws -> [(name: String, values: Tensor)]
  }

  /// Writes a file on rank 0, to whose pieces all ranks contribute; throws on rank 0 alone, when all have done so.
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
        // The directory is flushed as a whole before it gets its name.
        try writer.finish(flushing: false)
      } catch { failure = error }
    }
    // The others do not know that the disk is full.
    while next < pieces.count { _ = try make() }
    if let failure { throw failure }
  }

  /// The weights by the names of the family's checkpoints.
  ///
  /// - Parameter bring: has a weight in memory; collective.
  func weights(of trainer: Trainer, _ bring: @escaping (Parameter) throws -> Void) -> Pieces {
    let table = trainer.student.weightTable
    return Pieces(
      declarations: table.map { TensorDeclaration($0.name, .float32, $0.shape.array) }, count: table.count
    ) { index in
      if let parameter = table[index].parameter { try bring(parameter) }
      return [(table[index].name, table[index].tensor)]
    }
  }

  /// The moments of every weight, bucket by bucket, then those of tables.
  func moments(of trainer: Trainer) -> Pieces {
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
    return Pieces(declarations: declarations, count: 2 * (flat.buckets.count + tables.count)) { index in
      let (bucket, rest) = (index % max(1, flat.buckets.count), index - 2 * flat.buckets.count)
      if rest < 0 {
        let (kind, moments) = dense[index / flat.buckets.count]
        let whole = try self.gathered(moments, bucket, flat)
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

  /// A bucket of moments whose blocks lie with their owners, whole on rank 0.
  private func gathered(_ moments: Tensor, _ bucket: Int, _ flat: FlatParameters) throws -> Tensor {
    let range = flat.buckets[bucket]
    if moments.count == flat.count { return moments.slice(at: range.lowerBound, [range.count]) }
    let whole = communicator.isFirst ? Tensor(uninitialized: [range.count]) : Tensor.absent([range.count])
    let own = flat.shard(bucket, of: moments)
    try communicator.gather(
      UnsafeBufferPointer(own.buffer), into: communicator.isFirst ? whole.buffer : nil,
      counts: Array(repeating: own.count, count: communicator.size), root: 0)
    return whole
  }
}
