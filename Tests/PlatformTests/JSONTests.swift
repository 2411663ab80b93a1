import Foundation
import Platform
import Testing

@Suite struct JSONTests {
  private func refusal(_ text: String) -> String {
    do {
      let value = try JSON(parsing: text)
      Issue.record("\(text.prefix(40)) was read as \(value.text())")
      return ""
    } catch { return RetortError.wrap(error).description }
  }

  @Test func `numbers that Python writes and JSON does not have are read`() throws {
    let value = try JSON(parsing: #"{"a": NaN, "b": [Infinity, -Infinity], "c": 1}"#)
    #expect(value["a"]?.double?.isNaN == true && value["c"] == 1)
    #expect(value["b"] == [.double(.infinity), .double(-.infinity)])
    #expect(value["a"]?.int == nil && value["b"]?.array?[0].int == nil)
    #expect(value.finite == ["a": nil, "b": [nil, nil], "c": 1])
    #expect(try JSON(parsing: value.text()) == value.finite)
  }

  @Test func `the last of several members of one name counts`() throws {
    #expect(try JSON(parsing: #"{"a": 1, "b": 2, "a": 3}"#) == ["a": 3, "b": 2])
  }

  @Test func `whole numbers stay whole up to 64 bits, and true is no 1`() throws {
    #expect(try JSON(parsing: "9223372036854775807") == .int(.max))
    #expect(try JSON(parsing: "-9223372036854775808") == .int(.min))
    #expect(try JSON(parsing: "9223372036854775808") == .double(9_223_372_036_854_775_808))
    #expect(try JSON(parsing: "1000000000000000019884624838656").int == nil)
    #expect(try JSON(parsing: "1e400") == .double(.infinity))
    #expect(try JSON(parsing: "[true, 1, 1.0, -0.5e-2]") == [true, 1, .double(1), .double(-0.005)])
    #expect(try JSON(parsing: "1.0") == .double(1))
  }

  @Test func `half a surrogate pair is the replacement character`() throws {
    #expect(try JSON(parsing: #""\ud83d\ude00""#) == "😀")
    #expect(try JSON(parsing: #""a\ud83d\u0041\udc00z""#) == "a\u{fffd}A\u{fffd}z")
    #expect(refusal(#""\ud83d"#).contains("a string has no end"))
    #expect(refusal(#""\ud8"#).contains("not valid JSON"))
  }

  @Test func `a byte order mark is passed over, and UTF-16 is named`() throws {
    #expect(try JSON(parsing: Data([0xef, 0xbb, 0xbf] + Array("[1]".utf8))) == [1])
    do {
      _ = try JSON(parsing: Data([0xff, 0xfe, 0x7b, 0, 0x7d, 0]))
      Issue.record("UTF-16 was read")
    } catch { #expect(RetortError.wrap(error).description.contains("UTF-16")) }
  }

  @Test func `what is no JSON is refused with line and column`() {
    #expect(refusal("{\n  \"a\": 1,\n  \"b\" 2}").hasPrefix("line 3, column 7: not valid JSON (a colon"))
    #expect(refusal("").contains("empty"))
    for text in [
      "{", "[1,", "[1 2]", "nul", "NaNs", "-", "01", "1.", "1e", "\"a", "{1: 2}", "{}x", "[\"\u{1}\"]", "'a'",
    ] {
      #expect(refusal(text).contains("not valid JSON"), "\(text)")
    }
    do {
      _ = try JSON(parsing: Data([0x22, 0xc3, 0x28, 0x22]))
      Issue.record("bytes that are not UTF-8 were read")
    } catch { #expect(RetortError.wrap(error).description.contains("not UTF-8")) }
  }

  @Test func `deep nesting is refused before the stack ends`() {
    for open in ["[", "{\"a\":"] {
      #expect(refusal(String(repeating: open, count: 1_000_000)).contains("nested deeper than 256"))
    }
    #expect(throws: Never.self) {
      try JSON(parsing: String(repeating: "[", count: 256) + String(repeating: "]", count: 256))
    }
  }

  @Test func `any bytes are read or refused`() {
    var state = UInt64(7)
    let seed = Array(#"{"a": [1, -2.5e3, NaN, "b\u00e9\ud83d\ude00", null, true], "c": {"d": Infinity}}"#.utf8)
    for _ in 0..<20_000 {
      var bytes = seed
      for _ in 0..<3 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        bytes[Int(state >> 33) % bytes.count] = UInt8(truncatingIfNeeded: state >> 20)
      }
      if state >> 60 < 4 { bytes.removeLast(Int(state >> 40) % bytes.count) }
      do { _ = try JSON(parsing: Data(bytes)) } catch {
        #expect(RetortError.wrap(error).kind == .input)
      }
    }
  }
}
