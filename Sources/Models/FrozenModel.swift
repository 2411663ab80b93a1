import Autograd
import Datasets
import Platform
import Safetensors
import Tensors

/// A model that is never trained, with its weights in one block of memory in the form that inference reads.
///
/// Matrices that a bf16 pass rounds are stored rounded, and packed if products read that faster; all other weights are
/// float32. The form depends on the configuration, the precision and the CPU, so one process can fill a block and
/// others with the same `form` can use it directly.
package final class FrozenModel {
  /// The model; its weights are zeros until the block is filled or adopted.
  package let model: any Model
  /// Bytes of the block, a multiple of 64.
  package let byteCount: Int
  /// The part of the whole model.
  package let part: ModelPart
  private let content: Content
  private let places: [Place]
  private let weights: MatchedWeights
  /// The initialised tensors and the ignored tensors of the origin.
  package var report: LoadReport { weights.report }

  /// The weights in the block.
  package enum Content: String, Sendable {
    /// All weights of the part.
    case all
    /// Only the head of a model with layers, for a rank that receives states and computes logits.
    case head
  }

  /// The location of a parameter in the block.
  private struct Place {
    let parameter: Parameter
    let offset: Int
    let dtype: DType
    let layout: TensorLayout

    func tensor(in memory: Storage) -> Tensor {
      Tensor(storage: memory, byteOffset: offset, shape: parameter.shape, dtype: dtype, layout: layout)
    }
  }

  /// A model of the configuration; it checks names and shapes and reads no weight.
  ///
  /// - Parameters:
  ///   - seed: for tensors that the origin lacks.
  ///   - precision: the precision of the passes that use the block.
  ///   - part: the part of the model; only its weights are read from the checkpoint.
  ///   - only: the weights in the block; no pass may read other weights.
  ///   - packs: whether matrices are packed for products of many rows; products of one row read unpacked ones.
  /// Throws `.input` for unreadable files and for shapes that differ, with file, tensor and both shapes.
  package init(
    _ configuration: ModelConfiguration, from origin: WeightOrigin, seed: UInt64, precision: Precision,
    part: ModelPart = .whole, only content: Content = .all, packs: Bool = true
  ) throws {
    self.part = part
    self.content = content
    let model = try ModelLoader.build(configuration, part: part)
    self.model = model
    weights = try MatchedWeights(model, configuration, from: origin, seed: seed)
    var offset = 0
    places = FrozenModel.weights(content, of: model).map { parameter in
      let isRounded = parameter.isRounded(in: precision)
      let place = Place(
        parameter: parameter, offset: offset, dtype: isRounded ? .bfloat16 : .float32,
        layout: isRounded && packs && Tensor.isPackable(parameter.shape) ? .packed : .rows)
      // Every weight starts on a cache line.
      offset += (parameter.count * place.dtype.size + 63) / 64 * 64
      return place
    }
    byteCount = offset
  }

  /// The model of a directory with config.json and weights in Hugging Face layout, as `ModelLoader.load` reads it.
  package convenience init(
    directory: String, task: TaskKind? = nil, labels: LabelNames?, precision: Precision, part: ModelPart = .whole,
    only content: Content = .all
  ) throws {
    let opened = try ModelDirectory(directory, for: .answers, task: task, labels: labels)
    try self.init(
      opened.configuration, from: .checkpoint(opened.weights), seed: 0, precision: precision, part: part,
      only: content)
  }

  private static func weights(_ content: Content, of model: any Model) -> [Parameter] {
    guard content == .head, let head = (model as? any StagedModel)?.headWeights else { return model.parameters }
    return [head.matrix] + (head.bias.map { [$0] } ?? [])
  }

  /// Name, shape, type, layout and offset of every weight, and the part of the model: blocks of equal form are
  /// interchangeable.
  package var form: String {
    let weights = places.map {
      "\($0.parameter.name) \($0.parameter.shape) \($0.dtype.rawValue) \($0.layout.rawValue) \($0.offset)"
    }
    let what = part.isWhole && content == .all ? [] : ["\(part) \(content.rawValue)"]
    return (what + weights).joined(separator: "\n")
  }

  /// Reads or initialises the weights one by one and converts each into the block, which the model then uses.
  ///
  /// - Parameter memory: `byteCount` bytes.
  package func fill(_ memory: Storage) {
    // Only one matrix at a time is in float32, in memory that returns to the system, not to the pool.
    let largest = places.filter { $0.dtype != .float32 }.map { 4 * $0.parameter.count }.max() ?? 0
    let scratch = Storage(untouchedZeros: largest)
    for place in places {
      let (parameter, target) = (place.parameter, place.tensor(in: memory))
      parameter.value =
        place.dtype == .float32 ? target : Tensor(storage: scratch, byteOffset: 0, shape: parameter.shape)
      weights.fill(parameter)
      if place.dtype != .float32 { parameter.value.rounded(into: target) }
      parameter.value = target
      if memory.releasesPages { MappedPages.release(target.bytes) }
    }
    weights.fillBuffers()
  }

  /// Uses a block of this form that this process or another has filled; nothing writes to it.
  package func adopt(_ memory: Storage) {
    for place in places { place.parameter.value = place.tensor(in: memory) }
    weights.fillBuffers()
  }
}

extension Model {
  /// Replaces the matrices that a pass of this precision rounds by their rounded form, packed if products read that
  /// faster: for a model in memory that is no longer trained.
  package func freeze(for precision: Precision) {
    for parameter in parameters where parameter.isRounded(in: precision) && parameter.value.dtype == .float32 {
      let layout: TensorLayout = Tensor.isPackable(parameter.shape) ? .packed : .rows
      let rounded = Tensor(
        storage: Storage(bytes: 2 * parameter.count), byteOffset: 0, shape: parameter.shape, dtype: .bfloat16,
        layout: layout)
      parameter.value.rounded(into: rounded)
      parameter.value = rounded
    }
  }
}
