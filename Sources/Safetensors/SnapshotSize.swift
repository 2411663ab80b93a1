/// The size of a checkpoint's copy in memory, which a run makes and a plan counts.
package enum SnapshotSize {
  /// The most bytes of a copy; larger students have none.
  package static let limit = 4 << 30

  /// Bytes of the copy of so many weights with two moments each, 12 per weight; 0 beyond the limit.
  package static func bytes(weights: Int) -> Int {
    let (bytes, overflows) = weights.multipliedReportingOverflow(by: 12)
    return overflows || bytes > limit ? 0 : bytes
  }
}
