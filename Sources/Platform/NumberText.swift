/// A number with a fixed count of decimals, without Foundation's formatting.
package func fixed(_ value: Double, _ decimals: Int) -> String {
  guard value.isFinite, abs(value) < 1e9 else { return "\(value)" }
  var scale = 1.0
  for _ in 0..<decimals { scale *= 10 }
  let scaled = Int((abs(value) * scale).rounded())
  let (whole, rest) = (scaled / Int(scale), scaled % Int(scale))
  let sign = value < 0 && scaled != 0 ? "-" : ""
  if decimals == 0 { return sign + "\(whole)" }
  let digits = "\(rest)"
  return sign + "\(whole)." + String(repeating: "0", count: decimals - digits.count) + digits
}

/// The nearest integer with grouped digits; a value that is not finite or exceeds 64 bits is not grouped.
package func grouped(_ value: Double) -> String { Int(exactly: value.rounded()).map { grouped($0) } ?? "\(value)" }

/// 22713986 as "22,713,986".
package func grouped(_ number: Int) -> String {
  var out = ""
  for (index, digit) in "\(number)".reversed().enumerated() {
    if index > 0 && index % 3 == 0 { out.append(",") }
    out.append(digit)
  }
  return String(out.reversed())
}
