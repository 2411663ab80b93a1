import Platform
import Teachers

/// The placement of a teacher's weights, and the payload of its signals.
package struct TeacherPlacementConfiguration: Sendable, Equatable {
  /// The ranks that hold the teacher.
  package enum Placement: String, Sendable, CaseIterable {
    /// Every rank holds the whole teacher.
    case resident
    /// The training ranks hold it in parts.
    case sharded
    /// Ranks of its own hold it.
    case dedicated
    /// Every rank reads it layer by layer from a mapped file.
    case streamed
  }

  /// The form in which signals are sent.
  package enum Payload: String, Sendable, CaseIterable {
    case logits
    case hidden
    case topK = "top_k"
  }

  /// Default: resident.
  package var placement = Placement.resident
  /// The number of ranks in a group. Default (nil): all ranks with `sharded`, one with `dedicated`.
  package var ranks: Int?
  /// How a group divides the teacher. Default: tensor.
  package var sharding = TeacherSharding.tensor
  /// Default: logits.
  package var payload = Payload.logits
  /// The number of logits per row that `top_k` keeps. Default: 64.
  package var topK = 64
  /// The precision of the teacher's passes. Default (auto): the step's.
  package var precision = Hyperparameters.Precision.auto
  /// Whether what the teacher says of an example is kept for later epochs and runs. Default: true.
  package var isCached = true
  /// Bytes that everything kept (tokens, signals, weights) may have on disk together. Default: 10 GB.
  package var cacheLimit = 10_000_000_000

  /// The number of ranks in a group, in a job of `ranks` ranks.
  func groupSize(of ranks: Int) -> Int {
    switch placement {
    case .resident, .streamed: 1
    case .sharded: self.ranks ?? ranks
    case .dedicated: self.ranks ?? 1
    }
  }

  /// The payload in a step with this temperature, whose objectives compare the first `classes` alone if it is not nil.
  func signalPayload(temperature: Double, among classes: Int?) -> SignalPayload {
    switch payload {
    case .logits: .logits
    case .hidden: .hidden
    case .topK: .topK(topK, temperature: Float(temperature), among: classes)
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

  /// Reads the keys of a placement.
  ///
  /// - Parameter own: the keys without those of a default; a key that has no effect is refused only there.
  static func decode(_ members: ConfigurationMembers, own: ConfigurationCursor) throws -> TeacherPlacementConfiguration
  {
    var result = TeacherPlacementConfiguration()
    result.placement = try members.present("placement")?.word(Placement.self) ?? .resident
    if let ranks = members.present("ranks") {
      result.ranks = try ranks.integer(.machines)
      if result.placement == .resident || result.placement == .streamed {
        throw ranks.failure(
          "has no meaning for placement: \(result.placement.rawValue), with which each rank has the whole teacher",
          remedy: "leave it out, or use placement: sharded or dedicated")
      }
    }
    result.sharding = try members.present("sharding")?.word(TeacherSharding.self) ?? .tensor
    result.payload = try members.present("payload")?.word(Payload.self) ?? .logits
    result.topK = try members.present("top_k")?.integer(.atLeastOne) ?? 64
    if let count = own.member("top_k"), !count.isNull, result.payload != .topK {
      throw count.failure(
        "has no meaning for payload: \(result.payload.rawValue)", remedy: "add payload: top_k, or leave it out")
    }
    result.precision = try members.present("precision")?.word(Hyperparameters.Precision.self) ?? .auto
    if let cache = members.present("cache") { result.isCached = try cache.flag() }
    if let limit = members.present("cache_limit") { result.cacheLimit = try limit.bytes() }
    return result
  }
}
