import Foundation

/// The numbers that a key allows, with the text for messages.
struct AllowedNumbers: Sendable {
  let text: String
  let contains: @Sendable (Double) -> Bool

  // Upper ends follow from float32, 32-bit indices or the machine's memory, far above sensible values.
  static let positive = AllowedNumbers(text: "greater than 0, up to 1e30") { $0 >= 1e-30 && $0 <= 1e30 }
  static let bucket = AllowedNumbers(text: "from 0.001 to 65536") { $0 >= 0.001 && $0 <= 65_536 }
  static let temperature = AllowedNumbers(text: "greater than 0, from 0.001 to 1000000") { $0 >= 1e-3 && $0 <= 1e6 }
  // Far above any sensible rate, but float32 can still represent its products with moments.
  static let learningRate = AllowedNumbers(text: "0 or more, up to 1e30") { $0 >= 0 && $0 <= 1e30 }
  static let weight = AllowedNumbers(text: "0 or more, up to 1000000") { $0 >= 0 && $0 <= 1e6 }
  static let norm = AllowedNumbers(text: "0 or more, up to 1e30") { $0 >= 0 && $0 <= 1e30 }
  static let epsilon = AllowedNumbers(text: "greater than 0, from 1e-30 to 1") { $0 >= 1e-30 && $0 <= 1 }
  static let threads = AllowedNumbers(text: "1 or more, up to 1024") { $0 >= 1 && $0 <= 1024 }
  static let watchdog = AllowedNumbers(text: "seconds from 0 (off) to 604800") { $0 >= 0 && $0 <= 604_800 }
  static let microBatches = AllowedNumbers(text: "1 or more, up to 65536") { $0 >= 1 && $0 <= 65_536 }
  static let machines = AllowedNumbers(text: "1 or more, up to 1000000") { $0 >= 1 && $0 <= 1_000_000 }
  static let seed = AllowedNumbers(text: "0 or more, up to 18446744073709551615") { $0 >= 0 }
  static let epochs = AllowedNumbers(text: "above 0, up to 1000000") { $0 > 0 && $0 <= 1_000_000 }
  static let nonNegative = AllowedNumbers(text: "0 or more, up to 2147483647") { $0 >= 0 && $0 <= 2_147_483_647 }
  static let fraction = AllowedNumbers(text: "from 0 to 1") { $0 >= 0 && $0 <= 1 }
  static let fractionBelowOne = AllowedNumbers(text: "from 0 to below 1") { $0 >= 0 && $0 < 1 }
  static let atLeastOne = AllowedNumbers(text: "1 or more, up to 2147483647") { $0 >= 1 && $0 <= 2_147_483_647 }
}

/// Numbers in the usual spellings, whatever the YAML version says about them.
enum NumberText {
  /// Reads `5`, `+1`, `3.`, `.5`, `1e-4`, `1E4`, `1_000`, and the words for NaN and infinity; nil for anything else.
  static func double(_ text: String) -> Double? {
    var bytes = Array(text.trimmingCharacters(in: .whitespaces).lowercased().utf8)
    guard removeSeparators(&bytes) else { return nil }
    var sign = 1.0
    if let first = bytes.first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") {
      if first == UInt8(ascii: "-") { sign = -1 }
      bytes.removeFirst()
    }
    switch String(decoding: bytes, as: UTF8.self) {
    case "nan", ".nan": return .nan
    case "inf", ".inf", "infinity": return sign * .infinity
    default: return decimal(bytes).map { sign * $0 }
    }
  }

  /// Reads a whole number exactly, also as `32.0` or `1e3`; nil for anything else and for numbers beyond 64 bits.
  static func integer<Number: FixedWidthInteger>(_ text: String, as type: Number.Type = Number.self) -> Number? {
    var bytes = Array(text.trimmingCharacters(in: .whitespaces).utf8)
    guard removeSeparators(&bytes) else { return nil }
    if let exact = Number(String(decoding: bytes, as: UTF8.self), radix: 10) { return exact }
    return double(text).flatMap { Number(exactly: $0) }
  }

  /// Reads a number of bytes with or without a unit (B, KB, MB, GB, TB of 1000, KiB, MiB, GiB, TiB of 1024, in any
  /// case); nil for anything else, for a negative one and for one above 2⁶⁰.
  static func bytes(_ text: String) -> Int? {
    let text = text.trimmingCharacters(in: .whitespaces).lowercased()
    let units: [(String, Double)] = [
      ("kib", 0x1p10), ("mib", 0x1p20), ("gib", 0x1p30), ("tib", 0x1p40), ("kb", 1e3), ("mb", 1e6), ("gb", 1e9),
      ("tb", 1e12), ("b", 1),
    ]
    let unit = units.first { text.hasSuffix($0.0) } ?? ("", 1)
    guard let value = double(String(text.dropLast(unit.0.count))), value >= 0 else { return nil }
    // The limit keeps sums of sizes within 64 bits.
    let bytes = (value * unit.1).rounded()
    return bytes <= 0x1p60 ? Int(exactly: bytes) : nil
  }

  /// Removes underscores between digits; false for an underscore elsewhere.
  private static func removeSeparators(_ bytes: inout [UInt8]) -> Bool {
    func isDigit(_ index: Int) -> Bool { bytes.indices.contains(index) && (48...57).contains(bytes[index]) }
    for index in bytes.indices where bytes[index] == UInt8(ascii: "_") {
      if !isDigit(index - 1) || !isDigit(index + 1) { return false }
    }
    bytes.removeAll { $0 == UInt8(ascii: "_") }
    return true
  }

  /// `digits [. digits] [e [sign] digits]` with at least one digit before the exponent.
  private static func decimal(_ bytes: [UInt8]) -> Double? {
    var rest = bytes[...]
    func digits() -> String {
      let run = rest.prefix { (48...57).contains($0) }
      rest = rest.dropFirst(run.count)
      return String(decoding: run, as: UTF8.self)
    }
    let whole = digits()
    var part = ""
    if rest.first == UInt8(ascii: ".") {
      rest = rest.dropFirst()
      part = digits()
    }
    if whole.isEmpty && part.isEmpty { return nil }
    var exponent = "0"
    if rest.first == UInt8(ascii: "e") {
      rest = rest.dropFirst()
      let minus = rest.first == UInt8(ascii: "-")
      if minus || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
      let power = digits()
      if power.isEmpty { return nil }
      exponent = (minus ? "-" : "") + power
    }
    guard rest.isEmpty else { return nil }
    return Double("\(whole.isEmpty ? "0" : whole).\(part.isEmpty ? "0" : part)e\(exponent)")
  }
}
