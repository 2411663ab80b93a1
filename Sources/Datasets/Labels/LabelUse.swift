/// Whether a file must have labels, and whether they are read.
package enum LabelUse: Sendable, Equatable {
  /// The file must have a label column; rows may lack a label. Rows of JSON Lines name their own fields, so all rows of
  /// such a file may lack a label.
  case expected
  /// Labels are read if the file has a column for them.
  case ifPresent
  /// Labels are not read, even if the file has them.
  case unread
}

/// Whether all, some or none of a split's examples have a class.
package enum LabelCoverage: Sendable, Equatable {
  case all
  /// The number of examples with a class, at least one and fewer than all.
  case some(Int)
  case none

  init(_ labelled: Int, of count: Int) {
    self = labelled == count ? .all : labelled == 0 ? .none : .some(labelled)
  }
}
