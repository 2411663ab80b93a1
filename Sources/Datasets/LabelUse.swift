/// What a file must have of labels, and what is read of them.
public enum LabelUse: Sendable, Equatable {
  /// The file has a column of labels, in which single rows may have none. Rows of JSON Lines name their own fields, so
  /// there all rows may be without one.
  case expected
  /// Labels are read where the file has a column for them.
  case ifPresent
  /// No label is read, whatever the file has.
  case unread
}

/// Which examples of a split have a class.
public enum LabelCoverage: Sendable, Equatable {
  case all
  /// So many, at least one and less than all.
  case some(Int)
  case none

  init(_ labelled: Int, of count: Int) {
    self = labelled == count ? .all : labelled == 0 ? .none : .some(labelled)
  }
}
