import Platform
import Teachers

/// Where a teacher's weights live, and what of its answers moves.
public struct TeacherPlacementConfiguration: Sendable, Equatable {
  /// Who holds the teacher.
  public enum Placement: String, Sendable, CaseIterable {
    /// Each rank, whole.
    case resident
    /// The ranks that train, in parts.
    case sharded
    /// Ranks that do nothing else.
    case dedicated
    /// Each rank, a layer after the other from a mapped file.
    case streamed
  }

  /// What of an answer moves.
  public enum Payload: String, Sendable, CaseIterable {
    case logits
    case hidden
    case topK = "top_k"
  }

  /// Default: resident.
  public var placement = Placement.resident
  /// Ranks that hold the teacher together. Default (nil): all that there are where they are sharded, one where they are
  /// dedicated.
  public var ranks: Int?
  /// How they cut it up. Default: tensor.
  public var sharding = TeacherSharding.tensor
  /// Default: logits.
  public var payload = Payload.logits
  /// How many logits `top_k` keeps of each row. Default: 64.
  public var topK = 64
  /// Of the teacher's passes. Default (auto): the step's.
  public var precision = Hyperparameters.Precision.auto
  /// Whether what the teacher says of an example is kept for later epochs and runs. Default: true.
  public var isCached = true
  /// Bytes that everything kept (tokens, signals, weights) may have on disk together. Default: 10 GB.
  public var cacheLimit = 10_000_000_000

  /// Ranks of a job that hold a teacher together.
  func groupSize(of ranks: Int) -> Int {
    switch placement {
    case .resident, .streamed: 1
    case .sharded: self.ranks ?? ranks
    case .dedicated: self.ranks ?? 1
    }
  }

  /// What moves in a step of this temperature.
  func signalPayload(temperature: Double) -> SignalPayload {
    switch payload {
    case .logits: .logits
    case .hidden: .hidden
    case .topK: .topK(topK, temperature: Float(temperature))
    }
  }

  /// Every value used, by the names of the chain file.
  var resolved: [String: JSON] {
    [
      "placement": .string(placement.rawValue), "ranks": ranks.map(JSON.int) ?? .null,
      "sharding": .string(sharding.rawValue), "payload": .string(payload.rawValue), "top_k": .int(topK),
      "precision": .string(precision.rawValue), "cache": .bool(isCached), "cache_limit": .int(cacheLimit),
    ]
  }

  static func decode(_ members: ConfigurationMembers) throws -> TeacherPlacementConfiguration {
    var result = TeacherPlacementConfiguration()
    result.placement = try members.present("placement")?.word(Placement.self) ?? .resident
    if let ranks = members.present("ranks") {
      result.ranks = try ranks.integer(.machines)
      if result.placement == .resident || result.placement == .streamed {
        throw ranks.failure(
          "has no meaning for placement: \(result.placement.rawValue), where each rank has the whole teacher",
          remedy: "leave it out, or use placement: sharded or dedicated")
      }
    }
    result.sharding = try members.present("sharding")?.word(TeacherSharding.self) ?? .tensor
    result.payload = try members.present("payload")?.word(Payload.self) ?? .logits
    result.topK = try members.present("top_k")?.integer(.atLeastOne) ?? 64
    result.precision = try members.present("precision")?.word(Hyperparameters.Precision.self) ?? .auto
    if let cache = members.present("cache") { result.isCached = try cache.flag() }
    if let limit = members.present("cache_limit") { result.cacheLimit = try limit.bytes() }
    return result
  }
}
