import Datasets
import Models
import Platform
import Teachers
import Tensors

/// The placement of a step's teacher, and the cost of its signals.
struct PlacementReport: Equatable {
  private let placement: TeacherPlacementConfiguration
  /// The number of ranks that hold the teacher together.
  private let holders: Int
  private let payload: String
  /// Maximum bytes of weights on one rank, and bytes of the whole teacher.
  private let heldBytes: Int
  private let wholeBytes: Int
  /// Bytes transferred per row of signals.
  private let rowBytes: Int
  /// Bytes exchanged per token between the ranks that hold the teacher.
  private let innerBytes: Int
  /// One row of signals in messages.
  private let row: String
  private var students = TeacherTraffic()
  private var longestWait = 0.0
  private var teachers: TeacherTraffic?

  init(
    _ placement: TeacherPlacementConfiguration, ranks: Int, payload: SignalPayload, precision: Precision,
    heldBytes: Int, wholeBytes: Int, _ model: any StagedModel, of task: TaskDefinition
  ) {
    self.placement = placement
    holders = placement.groupSize(of: ranks)
    self.payload = payload.name
    self.heldBytes = heldBytes
    self.wholeBytes = wholeBytes
    rowBytes = payload.rowBytes(of: model, precision: precision)
    row = task.oneRow
    let state = model.hiddenSize * (precision == .bf16 && model.roundsStates ? 2 : 4)
    switch placement.sharding {
    case .pipeline: innerBytes = (holders - 1) * state
    case .tensor: innerBytes = holders == 1 ? 0 : (2 * model.layerCount + 1) * 4 * model.hiddenSize
    }
  }

  /// The log line at the start of a step.
  var beginning: String {
    let share = fixed(100 * Double(heldBytes) / Double(max(1, wholeBytes)), 1)
    let cut = holders > 1 ? " (\(placement.sharding.rawValue))" : ""
    let who: String =
      switch placement.placement {
      case .resident: "each rank has all of it"
      case .streamed: "each rank reads it layer by layer"
      case .sharded: "\(holders) ranks hold it together\(cut)"
      case .dedicated: "\(holders) \(holders == 1 ? "rank only teaches" : "ranks only teach")\(cut)"
      }
    var text =
      "teacher \(placement.placement.rawValue): \(who), \(grouped(heldBytes)) bytes of weights a rank at most, "
      + "\(share) % of \(grouped(wholeBytes)); payload \(payload), \(grouped(rowBytes)) bytes \(row)"
    if innerBytes > 0 { text += "; \(grouped(innerBytes)) bytes a token between its ranks" }
    // Caching would need the agreement of all ranks on every example.
    return text + "; signals are not cached"
  }

  /// The log line at the end of a step.
  var end: String {
    let sent = students.sentBytes + (teachers?.sentBytes ?? 0)
    let inner = students.innerBytes + (teachers?.innerBytes ?? 0)
    let each = fixed(Double(sent) / Double(max(1, students.rows)), 1)
    var text =
      "teacher \(placement.placement.rawValue): \(grouped(students.rows)) rows, \(grouped(sent)) bytes of answers "
      + "sent (\(each) bytes \(row)), \(grouped(inner)) between its ranks; ranks that train waited "
      + "\(fixed(longestWait, 2)) s at most"
    if let teachers { text += ", those that teach \(fixed(teachers.waitedSeconds / Double(holders), 2)) s each" }
    return text
  }

  mutating func take(_ students: TeacherTraffic, longestWait: Double, teachers: TeacherTraffic?) {
    self.students = students
    self.longestWait = longestWait
    self.teachers = teachers
  }

  /// The record in step.json.
  var json: JSON {
    [
      "placement": .string(placement.placement.rawValue), "ranks": .int(holders),
      "sharding": .string(placement.sharding.rawValue), "payload": .string(payload),
      "weight_bytes_per_rank": .int(heldBytes), "weight_bytes": .int(wholeBytes),
      "planned_bytes_per_row": .int(rowBytes), "planned_inner_bytes_per_token": .int(innerBytes),
      "rows": .int(students.rows), "sent_bytes": .int(students.sentBytes + (teachers?.sentBytes ?? 0)),
      "inner_bytes": .int(students.innerBytes + (teachers?.innerBytes ?? 0)),
      "students_waited_seconds": .double(longestWait),
      "teachers_waited_seconds": teachers.map { .double($0.waitedSeconds / Double(holders)) } ?? .null,
    ]
  }
}
