import Platform

/// Chooses how labels are read from all files of a data set together, so that train and validation labels agree.
extension LabelSet {
  /// The set with the one reading under which every label of the files is a class, and remarks for the user.
  ///
  /// Labels are names if all are names of the set, else indices if all are numbers below the number of classes, else
  /// truth values of two classes, else numbers from 1 if the largest is the number of classes. Labels that can all be
  /// read both as names and as indices, with different classes, are read by `usual`; without it, text labels of JSON
  /// Lines are names, and other labels are refused, because only the user knows their meaning. Throws `.input` for such
  /// labels, and for files with names in some rows and indices in others.
  ///
  /// - Parameters:
  ///   - scans: the scans of the files with labels.
  ///   - told: the reading that the user names; nil: not named.
  ///   - usual: the reading at training, or the one known for files of this task; decides if two readings are possible.
  package func deciding(
    _ scans: [LabelScan], told: LabelReading? = nil, usual: LabelReading? = nil
  ) throws -> (set: LabelSet, notes: [String]) {
    let labels = scans.flatMap { scan in scan.entries.map { (entry: $0, scan: scan) } }
    func misfits(_ reading: LabelReading) -> [(entry: LabelScan.Entry, scan: LabelScan)] {
      labels.filter { index(of: $0.entry.label, by: reading) == nil }
    }
    if let told {
      if let first = misfits(told).first {
        throw refusal(of: first.entry.label, readAs: told, at: first.scan.location(of: first.entry))
      }
      return (reading(told), [])
    }
    guard let first = labels.first else { return (self, []) }
    let path = first.scan.path
    if usual == .indexFromOne, misfits(.indexFromOne).isEmpty {
      return (reading(.indexFromOne), [countsFromOne(path)])
    }
    let (unnamed, unplaced) = (misfits(.name), misfits(.index))
    if unnamed.isEmpty, unplaced.isEmpty {
      let differing = labels.first {
        index(of: $0.entry.label, by: .name) != index(of: $0.entry.label, by: .index)
      }
      guard let differing else { return (reading(.name), []) }
      if let usual, usual == .name || usual == .index {
        let kind = usual == .name ? "names" : "indices"
        return (reading(usual), ["the labels of \(path) are read as class \(kind), as in training"])
      }
      if scans.allSatisfy({ $0.isText || $0.entries.isEmpty }) {
        return (reading(.name), ["the labels of \(path) are read as class names, since they are text"])
      }
      throw ambiguous(differing.entry.label, at: differing.scan.location(of: differing.entry))
    }
    if unnamed.isEmpty {
      return (reading(.name), looksLikeNumbers ? ["the labels of \(path) are read as class names, not as indices"] : [])
    }
    if unplaced.isEmpty {
      return (
        reading(.index), looksLikeNumbers ? ["the labels of \(path) are read as class indices, not as names"] : []
      )
    }
    if misfits(.boolean).isEmpty {
      return (
        reading(.boolean),
        ["the labels of \(path) are read as: false is class 0 (\(name(of: 0))), true is class 1 (\(name(of: 1)))"]
      )
    }
    if misfits(.indexFromOne).isEmpty, labels.contains(where: { LabelSet.number($0.entry.label) == count }) {
      return (reading(.indexFromOne), [countsFromOne(path)])
    }
    throw refusal(unnamed: unnamed, unplaced: unplaced)
  }

  /// Whether every label of the files is a class under one reading: by name, by index, or as the user tells.
  ///
  /// Files that name no class, such as those whose lists of labels are all empty, fit every set. Truth values and
  /// numbers from 1 name classes of their own unless `told` says otherwise.
  package func hasAll(of scans: [LabelScan], told: LabelReading? = nil) -> Bool {
    (told.map { [$0] } ?? [.name, .index]).contains { reading in
      scans.allSatisfy { $0.classNames.allSatisfy { index(of: $0, by: reading) != nil } }
    }
  }

  private func countsFromOne(_ path: String) -> String {
    "the labels of \(path) count from 1: 1 is class 0 (\(name(of: 0))), \(count) is class \(count - 1) "
      + "(\(name(of: count - 1)))"
  }

  /// Whether a class name is a number, which can also be read as an index.
  private var looksLikeNumbers: Bool { names?.contains { LabelSet.number($0) != nil } ?? false }

  private func ambiguous(_ label: String, at location: String) -> RetortError {
    let (byName, byIndex) = (index(of: label, by: .name) ?? 0, index(of: label, by: .index) ?? 0)
    return RetortError(
      .input,
      "the label \(quoted(label)) is the name of class \(byName) and the index of class \(byIndex) "
        + "(\(quoted(name(of: Int(byIndex))))), and no label of the data tells which is meant", at: location,
      remedy: settings.reading)
  }

  private func refusal(of label: String, readAs reading: LabelReading, at location: String) -> RetortError {
    RetortError(
      .input, "the label \(quoted(label)) is no \(reading.rawValue) of the set, as labels_are says: \(description)",
      at: location, remedy: "correct the row, or \(settings.reading)")
  }

  /// The error for the first label that is neither name nor index, otherwise for two labels, one of each kind.
  private func refusal(
    unnamed: [(entry: LabelScan.Entry, scan: LabelScan)], unplaced: [(entry: LabelScan.Entry, scan: LabelScan)]
  ) -> RetortError {
    let neither = unnamed.filter { index(of: $0.entry.label, by: .index) == nil }
    let (first, second) = (neither.min { $0.entry.line < $1.entry.line }, unplaced[0])
    if let first { return refusal(of: first.entry.label, at: first.scan.location(of: first.entry)) }
    return RetortError(
      .input,
      "the label \(quoted(unnamed[0].entry.label)) is a class index, and \(quoted(second.entry.label)) "
        + "(\(second.scan.location(of: second.entry))) is a class name: labels are all of one kind",
      at: unnamed[0].scan.location(of: unnamed[0].entry),
      remedy: "write all labels as names or all as indices of: \(description)")
  }
}

/// Counts of the classes in the files of a data set, and warnings about them.
extension LabelSet {
  /// The number of rows of each class in a file: `data/train.tsv: negative 30, positive 34`.
  package func counts(in scan: LabelScan) -> String {
    let counts = classCounts(scan)
    let places = counts.indices.filter { scan.counts(name(of: $0)) }
    let shown = places.prefix(20).map { place in
      "\(name(of: place).dropFirst(scan.areEntities ? 2 : 0).prefix(40)) \(grouped(counts[place]))"
    }
    return "\(scan.path): " + (scan.areEntities ? "entities " : "") + shown.joined(separator: ", ")
      + (places.count > 20 ? ", … (\(places.count) \(scan.areEntities ? "types" : "classes"))" : "")
  }

  /// Warnings about classes that training cannot learn: those without a training row, and those with a single one.
  package func warnings(train: LabelScan, validation: LabelScan?) -> [String] {
    let counts = classCounts(train)
    let there = validation.map(classCounts)
    var warnings: [String] = []
    let empty = counts.indices.filter { counts[$0] == 0 && train.counts(name(of: $0)) }
    if !empty.isEmpty {
      let shown = empty.prefix(10).map { place in
        let rows = there.map { $0[place] } ?? 0
        return name(of: place).prefix(40) + (rows > 0 ? " (\(grouped(rows)) in \(validation?.path ?? ""))" : "")
      }
      warnings.append(
        "\(train.path): no row has the \(empty.count == 1 ? "class" : "classes") \(shown.joined(separator: ", "))"
          + "\(empty.count > 10 ? ", …" : "") of \(count); nothing can be learnt about "
          + (empty.count == 1 ? "it" : "them"))
    }
    for entry in train.entries where entry.count == 1 && train.counts(entry.label) {
      guard let place = index(of: entry.label), counts[Int(place)] == 1 else { continue }
      let others = (names ?? []).filter {
        $0.lowercased() != entry.label.lowercased() && !TagScheme.areOfOneEntity($0, entry.label)
      }
      let near = LabelSet.number(entry.label) == nil ? nearestName(to: entry.label, among: others) : nil
      let question = near.map { "; is it a slip for \(quoted($0))?" } ?? ""
      warnings.append("\(train.location(of: entry)): the one row of the class \(quoted(entry.label))\(question)")
      if warnings.count >= 10 { break }
    }
    return warnings
  }

  private func classCounts(_ scan: LabelScan) -> [Int] {
    var counts = [Int](repeating: 0, count: count)
    for entry in scan.entries {
      if let place = index(of: entry.label) { counts[Int(place)] += entry.count }
    }
    return counts
  }
}
