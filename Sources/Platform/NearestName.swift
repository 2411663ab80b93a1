/// The name that a mistyped one most likely means, or nil when none is near.
///
/// A name is near if at most a third of its letters differ (two in short names), or if one name contains the other
/// (`epochs` in `num_train_epochs`).
package func nearestName(to name: String, among known: [String]) -> String? {
  let wanted = Array(name.lowercased().utf8)
  let measured = known.map { ($0, editDistance(wanted, Array($0.lowercased().utf8))) }
  if let best = measured.min(by: { $0.1 < $1.1 }), best.1 <= max(min(2, wanted.count - 1), wanted.count / 3) {
    return best.0
  }
  let lowered = name.lowercased()
  return known.first { candidate in
    (lowered.count >= 4 && candidate.contains(lowered)) || (candidate.count >= 4 && lowered.contains(candidate))
  }
}

/// The known name that `name` misspells: more than five letters, at most two of them changed.
package func misspelledName(_ name: String, among known: [String]) -> String? {
  guard !known.contains(name) else { return nil }
  return known.first { $0.count > 5 && editDistance(Array(name.lowercased().utf8), Array($0.utf8)) <= 2 }
}

/// The number of letters inserted, removed, replaced or swapped with their neighbour to turn one name into the other.
private func editDistance(_ first: [UInt8], _ second: [UInt8]) -> Int {
  var older = [Int](repeating: 0, count: second.count + 1)
  var last = Array(0...second.count)
  for i in first.indices {
    var row = [i + 1] + [Int](repeating: 0, count: second.count)
    for j in second.indices {
      row[j + 1] = min(last[j + 1] + 1, row[j] + 1, last[j] + (first[i] == second[j] ? 0 : 1))
      if i > 0, j > 0, first[i] == second[j - 1], first[i - 1] == second[j] {
        row[j + 1] = min(row[j + 1], older[j - 1] + 1)
      }
    }
    (older, last) = (last, row)
  }
  return last[second.count]
}
