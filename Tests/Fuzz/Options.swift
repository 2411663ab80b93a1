import Platform

/// What the command line asks for.
struct Options {
  static let usage =
    "fuzz [--inputs N] [--kind K,K…] [--seed S] [--keep DIRECTORY] "
    + "[--file FILE] [--coverage SECONDS] [--list yes]"
  var inputs = 1000
  var kinds: [String]?
  var seed: UInt64 = 1
  var keep = "fuzz-findings"
  /// One file to be read, instead of damaged ones.
  var file: String?
  /// Seconds for libFuzzer, where it chooses the damage.
  var coverage: Int?
  var lists = false
  /// A worker's range; nil in the process that starts workers.
  var range: Range<Int>?
  var place = ""

  init(_ arguments: [String]) throws {
    var rest = arguments.dropFirst()
    func usage(_ what: String) -> RetortError {
      RetortError(.configuration, what, at: "fuzz", remedy: Options.usage)
    }
    while let flag = rest.popFirst() {
      guard let value = rest.popFirst() else { throw usage("\(flag) has no value") }
      switch flag {
      case "--inputs": inputs = max(1, Int(value) ?? inputs)
      case "--kind": kinds = value.split(separator: ",").map(String.init)
      case "--seed": seed = UInt64(value) ?? seed
      case "--keep": keep = value
      case "--file": file = value
      case "--coverage": coverage = max(1, Int(value) ?? 60)
      case "--list": lists = true
      case "--place": place = value
      case "--range":
        let ends = value.split(separator: "-").compactMap { Int($0) }
        guard ends.count == 2, ends[0] <= ends[1] else { throw usage("\(value) is no range") }
        range = ends[0]..<ends[1]
      default: throw usage("\(flag) is unknown")
      }
    }
  }
}
