import Collectives

/// What the signals of a teacher that is spread over ranks have cost.
public struct TeacherTraffic: Sendable, Equatable {
  /// Rows of answers that were asked for.
  public var rows = 0
  /// Bytes of answers that were sent to other ranks.
  public var sentBytes = 0
  /// Bytes of states or sums that were sent between the ranks of the teacher.
  public var innerBytes = 0
  /// Seconds of waiting for other ranks.
  public var waitedSeconds = 0.0

  /// Nothing yet.
  public init() {}

  /// The figures in a row, as they travel.
  var values: [Double] { [Double(rows), Double(sentBytes), Double(innerBytes), waitedSeconds] }
  /// How many there are.
  static let figures = 4

  /// What all ranks have counted together; collective.
  public static func sum(_ own: TeacherTraffic, on communicator: any Communicator) throws -> TeacherTraffic {
    TeacherTraffic(try communicator.allReduce(own.values, .sum))
  }

  init(_ values: [Double]) {
    precondition(values.count == TeacherTraffic.figures, "\(values.count) figures of a teacher's traffic")
    (rows, sentBytes, innerBytes) = (Int(values[0]), Int(values[1]), Int(values[2]))
    waitedSeconds = values[3]
  }
}
