import Autograd
import Collectives
import Models
import Platform
import Safetensors
import Tensors

/// A copy in memory of what a checkpoint holds, from which rank 0 writes its files while training continues.
///
///     one node       shared memory; each rank copies its own moments, and an equal part of the weights
///     several nodes  memory of rank 0, which the ranks fill piece by piece, as they otherwise fill the files
///
/// The memory is used again for the next checkpoint, after the files of the last one are written: 12 bytes per weight
/// on rank 0's node (`SnapshotSize`). Where that is too much, files are written while training waits.
final class CheckpointSnapshot {
  /// Whether there is room for a snapshot of so many bytes: in half of the available memory of the machine, half of the
  /// addresses left, and an eighth of the control group's memory.
  private static func hasRoom(_ bytes: Int) -> Bool {
    2 * bytes <= min(MemoryLimits.available ?? .max, MemoryLimits.remainingAddresses ?? .max)
      && 8 * bytes <= MemoryLimits.controlGroup ?? .max
  }

  /// A file of a checkpoint in memory.
  struct Image {
    let name: String
    let tensors: [TensorDeclaration]
    /// The elements of each tensor in `memory`.
    let ranges: [Range<Int>]
    /// The elements of all tensors, one after the other; empty on a rank that copies nothing.
    let memory: Tensor

    /// Copies values of a tensor.
    ///
    /// - Parameter first: the place of the first value in the tensor.
    func put(_ values: UnsafePointer<Float>, count: Int, tensor: Int, at first: Int) {
      precondition(
        first >= 0 && first + count <= ranges[tensor].count, "\(count) values at \(first) of \(tensors[tensor])")
      let (source, target) = (values, memory.floats + ranges[tensor].lowerBound + first)
      ThreadTeam.split(count, unit: 1024, cost: 1) { part in
        (target + part.lowerBound).update(from: source + part.lowerBound, count: part.count)
      }
    }

    /// Writes the file into a folder; on the saving thread.
    ///
    /// - Returns: its entry in the manifest, with the checksum of what is in memory.
    func write(_ folder: String, reusing spare: String) throws -> FileManifest.Entry? {
      var writer = try SafetensorsWriter(
        joinPath(folder, name), tensors: tensors, reusing: joinPath(spare, name), checking: true)
      for (tensor, range) in zip(tensors, ranges) {
        let values = memory.floats + range.lowerBound
        try writer.append(tensor.name, floats: UnsafeBufferPointer(start: values, count: range.count))
      }
      let entry = writer.entry
      // All files of the directory are flushed before it is renamed into place.
      try writer.finish(flushing: false)
      return entry
    }
  }

  let model: Image
  let optimizer: Image
  /// Whether each rank copies its own part.
  private let isParallel: Bool
  private let trainer: Trainer

  /// Reserves the memory; collective. nil on all ranks if there is not enough.
  ///
  /// - Parameter limit: the most bytes of a snapshot.
  init?(of trainer: Trainer, limit: Int, _ store: CheckpointStore) throws {
    let (model, optimizer) = (store.weights(of: trainer) { _ in }, store.moments(of: trainer) { _ in })
    let counts = [model, optimizer].map { $0.declarations.reduce(0) { $0 + $1.shape.reduce(1, *) } }
    let bytes = 4 * (counts[0] + counts[1])
    guard try store.communicator.all(bytes <= limit && CheckpointSnapshot.hasRoom(bytes)) else { return nil }
    self.trainer = trainer
    let grid = trainer.grid
    var memory: [Tensor]?
    if grid.lane.size == 1 {
      do { memory = try counts.map { try StudentBuffers(grid).shared([$0]) } } catch is StudentBuffers.NotShared {}
    }
    isParallel = memory != nil
    let places = memory ?? counts.map { store.communicator.isFirst ? .untouchedZeros([$0]) : .absent([$0]) }
    self.model = Image(CheckpointFile.model, model.declarations, places[0])
    self.optimizer = Image(CheckpointFile.optimizer, optimizer.declarations, places[1])
  }

  /// Copies the weights; collective.
  ///
  /// - Parameter bring: gathers a weight into memory; collective.
  func copyWeights(_ store: CheckpointStore, _ bring: @escaping (Parameter) throws -> Void) throws {
    guard isParallel else { return try copy(store.weights(of: trainer, bring), into: model) }
    for (index, binding) in trainer.student.weightTable.enumerated() {
      if let parameter = binding.parameter { try bring(parameter) }
      put(index, of: model) { binding.stored }
    }
  }

  /// Copies the moments and the projections; collective.
  ///
  /// - Parameter bring: gathers a weight into memory; collective.
  func copyMoments(_ store: CheckpointStore, _ bring: @escaping (Parameter) throws -> Void) throws {
    guard isParallel else { return try copy(store.moments(of: trainer, bring), into: optimizer) }
    let (flat, tables) = (trainer.flat, trainer.tables)
    let dense = [trainer.optimizer.firstMoments, trainer.optimizer.secondMoments]
    for (kind, moments) in dense.enumerated() { copyOwned(moments, first: kind * flat.parameters.count) }
    var tensor = 2 * flat.parameters.count
    for table in tables {
      for rows in [table.optimizer.firstMoments, table.optimizer.secondMoments] {
        copyRows(rows, tensor: tensor)
        tensor += 1
      }
    }
    for projection in trainer.projections {
      try bring(projection)
      put(tensor, of: optimizer) { projection.value }
      tensor += 1
    }
  }

  /// Copies this rank's blocks of the flat buffer, where a parameter's tensor is `first` plus its number.
  private func copyOwned(_ moments: Tensor, first: Int) {
    let flat = trainer.flat
    let isWhole = moments.count == flat.count
    var kept = 0
    for block in flat.ownedRanges(rank: trainer.grid.place) {
      let start = isWhole ? block.lowerBound : kept
      kept += block.count
      for (index, range) in flat.ranges.enumerated() {
        let part = range.clamped(to: block)
        if part.isEmpty { continue }
        optimizer.put(
          moments.floats + start + part.lowerBound - block.lowerBound, count: part.count, tensor: first + index,
          at: part.lowerBound - range.lowerBound)
      }
    }
  }

  /// Copies this rank's rows of a table.
  private func copyRows(_ own: Tensor, tensor: Int) {
    let (place, size, columns) = (trainer.grid.place, trainer.grid.size, own.columns)
    let (source, target) = (own.floats, optimizer.memory.floats + optimizer.ranges[tensor].lowerBound)
    precondition(own.rows == 0 || ((own.rows - 1) * size + place + 1) * columns <= optimizer.ranges[tensor].count)
    ThreadTeam.split(own.rows, unit: 16, cost: columns) { part in
      for row in part { (target + (place + row * size) * columns).update(from: source + row * columns, count: columns) }
    }
  }

  /// Copies this rank's share of a tensor that all ranks have.
  private func put(_ tensor: Int, of image: Image, _ values: () -> Tensor) {
    let (node, range) = (trainer.grid.node, image.ranges[tensor])
    let share = image.memory.count * node.rank / node.size..<image.memory.count * (node.rank + 1) / node.size
    let part = range.clamped(to: share)
    if part.isEmpty { return }
    let first = part.lowerBound - range.lowerBound
    image.put(values().floats + first, count: part.count, tensor: tensor, at: first)
  }

  /// Copies pieces to which all ranks contribute on rank 0.
  private func copy(_ pieces: CheckpointStore.Pieces, into image: Image) throws {
    let isFirst = trainer.communicator.isFirst
    let places = Dictionary(uniqueKeysWithValues: image.tensors.enumerated().map { ($1.name, $0) })
    for piece in 0..<pieces.count {
      for (name, values) in try pieces.make(piece) {
        guard isFirst, let tensor = places[name] else { continue }
        image.put(values.floats, count: values.count, tensor: tensor, at: 0)
      }
    }
  }
}

extension CheckpointSnapshot.Image {
  init(_ name: String, _ tensors: [TensorDeclaration], _ memory: Tensor) {
    self.name = name
    self.tensors = tensors
    self.memory = memory
    var end = 0
    ranges = tensors.map { tensor in
      let start = end
      end += tensor.shape.reduce(1, *)
      return start..<end
    }
  }
}
