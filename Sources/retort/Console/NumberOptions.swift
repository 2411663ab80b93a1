import ArgumentParser

/// Throws the usage error of an option whose number is outside its range; nil is an option that was not given.
func requireOption(_ name: String, _ value: Int?, _ range: ClosedRange<Int>) throws {
  guard let value, !range.contains(value) else { return }
  throw ValidationError("\(name) is \(value), \(range.lowerBound) to \(range.upperBound) was expected")
}

/// The most that counts of examples, tokens and steps may be: what a 32-bit index tells apart.
let largestCount = Int(Int32.max)
