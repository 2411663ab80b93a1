import Collectives

/// The communication cost of the signals of a teacher on several ranks.
package struct TeacherTraffic: Sendable, Equatable {
  /// Rows of signals received.
  package var rows = 0
  /// Bytes of signals sent to other ranks.
  package var sentBytes = 0
  /// Bytes of states or sums sent between the ranks of the teacher.
  package var innerBytes = 0
  /// Seconds spent waiting for other ranks.
  package var waitedSeconds = 0.0

  /// Starts with zero.
  package init() {}

  /// The figures as an array, for messages.
  var values: [Double] { [Double(rows), Double(sentBytes), Double(innerBytes), waitedSeconds] }
  /// The number of figures.
  static let figures = 4

  /// The sum over all ranks; collective.
  package static func sum(_ own: TeacherTraffic, on communicator: any Communicator) throws -> TeacherTraffic {
    TeacherTraffic(try communicator.allReduce(own.values, .sum))
  }

  init(_ values: [Double]) {
    precondition(values.count == TeacherTraffic.figures, "\(values.count) figures of a teacher's traffic")
    (rows, sentBytes, innerBytes) = (Int(values[0]), Int(values[1]), Int(values[2]))
    waitedSeconds = values[3]
  }
}
