import ArgumentParser

/// Throws a usage error if an option's number is outside its range; nil means that the option was not given.
func requireOption(_ name: String, _ value: Int?, _ range: ClosedRange<Int>) throws {
  guard let value, !range.contains(value) else { return }
  throw ValidationError("\(name) is \(value), \(range.lowerBound) to \(range.upperBound) was expected")
}

/// The largest count of examples, tokens and steps, since indices have 32 bits.
let largestCount = Int(Int32.max)
