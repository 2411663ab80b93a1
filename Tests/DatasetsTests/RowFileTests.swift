import Datasets
import Platform
import Testing

@Suite struct RowFileTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  /// All rows of the named columns.
  private func rows(_ path: String, _ columns: [String]) throws -> [[FieldValue]] {
    let file = try RowFile(path)
    let selection = try file.select(columns)
    return try (0..<file.count).map { try file.read($0, selection) }
  }

  private func refusal(_ path: String, _ columns: [String]) -> RetortError? {
    DatasetsTests.refusal { _ = try rows(path, columns) }
  }

  @Test func `TSV keeps stray quotes as they are`() throws {
    let path = try scratch.write("a.tsv", "sentence\tlabel\nhe said \"no\t1\n\"\"\t0\n")
    #expect(
      try rows(path, ["label", "sentence"]) == [[.text("1"), .text("he said \"no")], [.text("0"), .text("\"\"")]])
  }

  @Test func `a byte order mark, CR LF and a missing last line break change nothing`() throws {
    for (name, text) in [
      ("a.tsv", "\u{feff}text\tlabel\r\na b\t1\r\nc\t0"), ("a.csv", "\u{feff}text,label\r\na b,1\r\n\"c\",0"),
      ("a.jsonl", "\u{feff}{\"text\": \"a b\", \"label\": \"1\"}\r\n{\"label\":\"0\",\"text\":\"c\"}"),
    ] {
      let path = try scratch.write(name, text)
      #expect(try RowFile(path).columns == ["text", "label"])
      #expect(try rows(path, ["text", "label"]) == [[.text("a b"), .text("1")], [.text("c"), .text("0")]])
    }
  }

  @Test func `a TSV row with too few or too many fields is refused with its line and both counts`() throws {
    for bad in ["x", "x\t1\ty", "\t\t"] {
      let path = try scratch.write("a.tsv", "text\tlabel\na\t1\n\(bad)\nb\t0\n")
      let error = try #require(refusal(path, ["text"]))
      #expect(error.kind == .input)
      #expect(error.location == "\(path):3")
      let fields = bad.split(separator: "\t", omittingEmptySubsequences: false).count
      #expect(error.what == "the row has \(fields) \(fields == 1 ? "field" : "fields") where the header has 2")
    }
  }

  @Test func `blank lines at the end of a table are no rows`() throws {
    #expect(try RowFile(try scratch.write("a.tsv", "text\tlabel\na\t1\n\n\r\n\n")).count == 1)
    #expect(try RowFile(try scratch.write("a.csv", "text,label\na,1\n\n\n")).count == 1)
  }

  @Test func `CSV fields may hold commas, doubled quotes and line breaks`() throws {
    let path = try scratch.write(
      "a.csv", "id,text,label\n1,\"a, \"\"b\"\"\nc\",x\n2,\"\",\n3,5\" wide,\"y\"\n")
    #expect(
      try rows(path, ["text", "label"]) == [
        [.text("a, \"b\"\nc"), .text("x")], [.text(""), .text("")], [.text("5\" wide"), .text("y")],
      ])
    let file = try RowFile(path)
    #expect((0..<file.count).map(file.line) == [2, 4, 5])
  }

  @Test func `a CSV quote that is never closed is refused where it opens`() throws {
    let path = try scratch.write("a.csv", "text,label\na,1\n\"b\nc\",2\nd,\"3\ne,4\nf,5\n")
    let error = try #require(refusal(path, ["text"]))
    #expect(error.location == "\(path):5")
    #expect(error.what.contains("never closed"))
  }

  @Test func `text behind a closing quote is refused with the line of its record`() throws {
    let path = try scratch.write("a.csv", "text,label\n\"a\nb\" c,1\n")
    #expect(refusal(path, ["text"])?.location == "\(path):2")
  }

  @Test func `JSON Lines give text, numbers, lists and what is missing`() throws {
    let path = try scratch.write(
      "a.jsonl",
      """
      {"text": "a\\u00e9\\n\\ud83d\\ude00", "label": 1, "ids": [1, 2, 3]}

      {"label": -2.5e1, "extra": {"deep": [1, {"x": "]}"}]}, "text": null, "ids": []}
        \t
      {"label": true, "text": "\\"q\\"", "ids": ["a"]}
      """)
    let file = try RowFile(path)
    #expect((0..<file.count).map(file.line) == [1, 3, 5])
    #expect(
      try rows(path, ["text", "label", "ids"]) == [
        [.text("aé\n😀"), .integer(1), .list([1, 2, 3])], [.absent, .real(-25), .list([])],
        [.text("\"q\""), .flag(true), .words(["a"])],
      ])
  }

  @Test(arguments: [
    "{\"text\": \"a\"", "{\"text\": }", "{text: 1}", "[1]", "\"a\"", "{\"a\": 01}", "{\"a\": 1.}", "{\"a\": tru}",
    "{\"a\": 1} 2", "{\"a\": \"\\x\"}", "{\"a\": \"\\ud800\"}", "{\"a\": [1,]}", "{\"a\" 1}", "{\"a\": \"b", "{,}",
    "{\"a\":1,}",
    "{\"a\": -}", "{\"a\": NaNs}",
  ])
  func `a line that is no JSON object is refused with its number`(line: String) throws {
    let path = try scratch.write("a.jsonl", "{\"text\": \"fine\"}\n\n\(line)\n{\"text\": \"fine\"}\n")
    let error = try #require(refusal(path, ["text"]))
    #expect(error.kind == .input)
    #expect(error.location == "\(path):3")
  }

  @Test func `numbers that Python writes and JSON does not have may stand in columns that are not read`() throws {
    let path = try scratch.write(
      "a.jsonl", "{\"text\": \"a\", \"x\": NaN, \"y\": [1, -Infinity, {\"z\": Infinity}], \"w\": -Infinity}\n")
    #expect(try rows(path, ["text", "w"]) == [[.text("a"), .real(-.infinity)]])
  }

  @Test func `deep nesting is refused instead of exhausting the stack`() throws {
    let deep = String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)
    for key in ["text", "other"] {
      let path = try scratch.write("a.jsonl", "{\"\(key)\": \(deep)}\n")
      #expect(refusal(path, ["text"])?.what.contains("nested deeper") == true)
    }
  }

  @Test func `a JSON document that is one list is its rows, each with its line`() throws {
    let list = "[\n {\"text\": \"a]\",\n  \"label\": 1},\n {\"text\": \"b\\\"}\"}\n]\n"
    for (name, text) in [("a.json", list), ("b.jsonl", list), ("c.json", "{\"version\": [1], \"data\": \(list)}")] {
      let path = try scratch.write(name, text)
      #expect(try rows(path, ["text", "label"]) == [[.text("a]"), .integer(1)], [.text("b\"}"), .absent]])
      let file = try RowFile(path)
      #expect((0..<file.count).map(file.line) == [2, 4])
    }
    #expect(try RowFile(try scratch.write("d.json", "[]")).count == 0)
    let lines = try scratch.write("e.json", "{\"text\": \"a\", \"data\": [{}]}\n{\"text\": \"b\"}\n")
    #expect(try rows(lines, ["text"]) == [[.text("a")], [.text("b")]])
    let open = try scratch.write("f.json", "[\n{\"text\": \"a\"},\n{\"text\": \"b\"}\n")
    #expect(refusal(open, ["text"])?.what == "the JSON list that opens on line 1 does not end")
    let columns = try scratch.write("g.json", "{\"text\": {\"0\": \"a\"},\n \"label\": {\"0\": 1}}\n")
    #expect(refusal(columns, ["text"])?.remedy?.contains("orient=\"records\"") == true)
  }

  @Test func `numbers that JSON does not have are harmless where nobody reads them`() throws {
    let path = try scratch.write("a.jsonl", "{\"text\": \"a\", \"x\": NaN, \"y\": [1, -Infinity], \"z\": Infinity}\n")
    #expect(try rows(path, ["text"]) == [[.text("a")]])
  }

  @Test func `blank lines inside a table are no rows and count as lines`() throws {
    for (name, text) in [
      ("a.csv", "text,label\n\na,1\r\n\r\n  \nb,0\n"), ("a.tsv", "text\tlabel\n\na\t1\r\n\r\n\nb\t0\n"),
    ] {
      let path = try scratch.write(name, text)
      #expect(try rows(path, ["text"]) == [[.text("a")], [.text("b")]])
      let file = try RowFile(path)
      #expect((0..<file.count).map(file.line) == [3, 6])
    }
    let quotes = try scratch.write("b.csv", "text,label\n\"a\n\nb\",1\n")
    #expect(try rows(quotes, ["text"]) == [[.text("a\n\nb")]])
  }

  @Test(
    arguments: [
      [0xff], [0xc3, 0x28], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82], [0x80],
    ] as [[UInt8]])
  func `bytes that are not UTF-8 are refused with their line`(bad: [UInt8]) throws {
    for (name, start, end) in [
      ("a.tsv", "text\tlabel\nfine\t1\nabcdefghij", "\t1\n"), ("a.jsonl", "{\"text\":\"a\"}\n\n{\"text\":\"", "\"}\n"),
      ("a.csv", "text,label\n\"fine\nx", "\",1\n"), ("a.txt", "a\nb\nc", "\n"),
    ] {
      let path = try scratch.write(name, bytes: Array(start.utf8) + bad + Array(end.utf8))
      let error = try #require(refusal(path, ["text"]))
      #expect(error.location == "\(path):3")
      #expect(error.what.contains("not UTF-8"))
    }
  }

  @Test func `every valid form of UTF-8 is read`() throws {
    let text = "é ߿ ࠀ € ퟿  � 𐀀 😀 \u{10ffff} plain ascii that is long enough"
    let path = try scratch.write("a.txt", text + "\n")
    #expect(try rows(path, ["text"]) == [[.text(text)]])
  }

  @Test func `a missing column is refused with the columns found`() throws {
    let path = try scratch.write("a.tsv", "sentence\tlabel\na\t1\n")
    let error = try #require(refusal(path, ["text"]))
    #expect(error.what == "there is no column \"text\"; found: \"sentence\", \"label\"")
    let double = try scratch.write("b.tsv", "text\ttext\na\tb\n")
    #expect(refusal(double, ["text"])?.what.contains("occurs 2 times") == true)
  }

  @Test func `plain text has one column and leaves blank lines out`() throws {
    let path = try scratch.write("a.txt", "one\n\n  \ntwo\n")
    #expect(try rows(path, ["text"]) == [[.text("one")], [.text("two")]])
    #expect(try RowFile(path).line(of: 1) == 4)
  }

  @Test func `files without rows are empty and files of unknown form are refused`() throws {
    for (name, text) in [
      ("a.tsv", ""), ("b.tsv", "text\tlabel\n"), ("c.jsonl", "\n\n"), ("d.csv", "\n"), ("e.txt", ""),
    ] {
      let file = try RowFile(try scratch.write(name, text))
      #expect(file.count == 0)
      #expect(DatasetsTests.refusal { try file.requireRows() }?.what == "has no examples")
    }
    let error = DatasetsTests.refusal { _ = try RowFile(try scratch.write("a.parquet", "PAR1")) }
    #expect(error?.remedy?.contains("to_json") == true)
    #expect(DatasetsTests.refusal { _ = try RowFile(joinPath(scratch.path, "none.tsv")) }?.kind == .input)
  }
}
