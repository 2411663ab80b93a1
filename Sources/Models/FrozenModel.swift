import Autograd
import Platform
import Safetensors
import Tensors

/// A model that is never trained, whose weights lie in one block of memory in the form that inference reads.
///
/// Matrices that a bf16 pass rounds are stored rounded, and packed where products read that faster; all else is
/// float32. The form follows from the configuration, the precision and the CPU, so that one process can fill a block
/// and others, whose CPU has the same `form`, use it as it is.
public final class FrozenModel {
  /// The model; its weights are zeros until the block is filled or adopted.
  public let model: any Model
  /// Bytes of the block, a multiple of 64.
  public let byteCount: Int
  /// What of the model it is.
  public let part: ModelPart
  private let content: Content
  private let places: [Place]
  private let weights: MatchedWeights
  /// Which tensors of the origin are initialised and which ignored.
  public var report: LoadReport { weights.report }

  /// Which of the weights the block has.
  public enum Content: String, Sendable {
    /// Those of the part.
    case all
    /// Those of the head alone, of a model of layers: for whoever gets states and wants logits.
    case head
  }

  /// Where a parameter lies in the block.
  private struct Place {
    let parameter: Parameter
    let offset: Int
    let dtype: DType
    let layout: TensorLayout

    func tensor(in memory: Storage) -> Tensor {
      Tensor(storage: memory, byteOffset: offset, shape: parameter.shape, dtype: dtype, layout: layout)
    }
  }

  /// A model of the configuration; names and shapes are checked, no weight is read.
  ///
  /// - Parameters:
  ///   - seed: for tensors that the origin lacks.
  ///   - precision: of the passes that the block is made for.
  ///   - part: of the model that is wanted; of the checkpoint only that is read.
  ///   - only: what of the part the block has; other weights must not be read.
  ///   - packs: whether matrices are packed for products of many rows; products of one row read them as they are.
  /// Throws `.input` for what cannot be read or does not fit, naming file, tensor and both shapes.
  public init(
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
      // Every weight begins on a cache line.
      offset += (parameter.count * place.dtype.size + 63) / 64 * 64
      return place
    }
    byteCount = offset
  }

  /// The model of a directory with config.json and weights in Hugging Face layout, as `ModelLoader.load` reads it.
  public convenience init(
    directory: String, labels: LabelNames?, precision: Precision, part: ModelPart = .whole, only content: Content = .all
  ) throws {
    let opened = try ModelDirectory(directory, for: .answers, labels: labels)
    try self.init(
      opened.configuration, from: .checkpoint(opened.weights), seed: 0, precision: precision, part: part,
      only: content)
  }

  private static func weights(_ content: Content, of model: any Model) -> [Parameter] {
    guard content == .head, let head = (model as? any StagedModel)?.headWeights else { return model.parameters }
    return [head.matrix] + (head.bias.map { [$0] } ?? [])
  }

  /// Name, shape, type, layout and place of every weight, and which part of the model they are: blocks of the same form
  /// are alike.
  public var form: String {
    let weights = places.map {
      "\($0.parameter.name) \($0.parameter.shape) \($0.dtype.rawValue) \($0.layout.rawValue) \($0.offset)"
    }
    let what = part.isWhole && content == .all ? [] : ["\(part) \(content.rawValue)"]
    return (what + weights).joined(separator: "\n")
  }

  /// Reads or makes the weights one by one, each converted into its place; the model uses the block from then on.
  ///
  /// - Parameter memory: `byteCount` bytes.
  public func fill(_ memory: Storage) {
    // One matrix at a time has a float32 form, in memory that goes back to the system and not to the pool.
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

  /// Uses a block of this form that was filled before, by this process or another; nothing writes to it.
  public func adopt(_ memory: Storage) {
    for place in places { place.parameter.value = place.tensor(in: memory) }
    weights.fillBuffers()
  }
}

extension Model {
  /// Gives the matrices that a pass of this precision rounds up for their rounded form, packed where products read
  /// that faster: for a model that is in memory and is not trained any more.
  public func freeze(for precision: Precision) {
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
