import Autograd
import Models
import Platform
import Safetensors
import Tensors

/// The weights and moments of a checkpoint, all found and of the right size, ready to be copied.
struct CheckpointFiles {
  private let weights: [StoredTensor]
  private let dense: [(first: StoredTensor, second: StoredTensor)]
  private let tables: [(first: StoredTensor, second: StoredTensor)]
  private let projections: [StoredTensor]

  /// Looks up everything that the trainer needs; throws `.checkpoint` or `.input` if something is missing or wrong.
  init(_ folder: String, for trainer: Trainer) throws {
    let model = try SafetensorsFile(joinPath(folder, CheckpointFile.model))
    weights = try trainer.student.weightTable.map { binding in
      let stored = try model.tensor(binding.name)
      guard stored.dtype == .float32, stored.shape == binding.shape.array else {
        throw RetortError(
          .checkpoint, "tensor \(binding.name) is \(stored.dtype.rawValue) \(stored.shape), not F32 \(binding.shape)")
      }
      return stored
    }
    let moments = try SafetensorsFile(joinPath(folder, CheckpointFile.optimizer))
    func stored(_ kind: String, _ parameter: Parameter) throws -> StoredTensor {
      let stored = try moments.tensor("\(kind).\(parameter.name)")
      guard stored.dtype == .float32, stored.count == parameter.count else {
        throw RetortError(
          .checkpoint, "\(kind).\(parameter.name) has \(stored.count) elements, not \(parameter.count)")
      }
      return stored
    }
    func pair(_ parameter: Parameter) throws -> (first: StoredTensor, second: StoredTensor) {
      (try stored("m", parameter), try stored("v", parameter))
    }
    dense = try trainer.flat.parameters.map(pair)
    tables = try trainer.tables.map { try pair($0.parameter) }
    projections = try trainer.projections.map { try stored("w", $0) }
  }

  /// Copies this rank's part into a trainer of the same shapes.
  func copy(into trainer: Trainer) {
    for (binding, stored) in zip(trainer.student.weightTable, weights) { trainer.restore(binding, from: stored) }
    for (parameter, stored) in zip(trainer.projections, projections) {
      trainer.restore(WeightBinding(parameter.name, parameter), from: stored)
    }
    let (flat, optimizer) = (trainer.flat, trainer.optimizer)
    for (moments, range) in zip(dense, flat.ranges) {
      copyBlocks(of: moments.first, at: range, flat.updated, into: optimizer.firstMoments)
      copyBlocks(of: moments.second, at: range, flat.updated, into: optimizer.secondMoments)
    }
    for (table, moments) in zip(trainer.tables, tables) {
      table.restore(first: moments.first, second: moments.second)
    }
  }

  /// Copies the owned elements of a tensor whose range in the flat buffer is `range`.
  private func copyBlocks(of stored: StoredTensor, at range: Range<Int>, _ owned: [Range<Int>], into blocks: Tensor) {
    var offset = 0
    for block in owned {
      let part = range.clamped(to: block)
      if !part.isEmpty {
        stored.copyFloats(
          into: blocks.floats + offset + part.lowerBound - block.lowerBound,
          range: part.lowerBound - range.lowerBound..<part.upperBound - range.lowerBound)
      }
      offset += block.count
    }
  }
}
