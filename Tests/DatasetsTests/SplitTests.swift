import Collectives
import Datasets
import Platform
import Testing

@Suite struct SplitTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private func texts(_ split: DatasetSplit) throws -> [String] {
    let file = try RowFile(split)
    let selection = try file.select(["text"])
    return try (0..<file.count).map { row in
      if case .text(let text) = try file.read(row, selection)[0] { text } else { "" }
    }
  }

  @Test func `shards are read one behind the other, with the file and line of each row`() throws {
    let first = try scratch.write("train-0.csv", "text,label\na,1\n\nb,0\n")
    let second = try scratch.write("train-1.csv", "label,text\n1,c\n0,d\n")
    let empty = try scratch.write("train-2.csv", "text,label\n")
    let split = DatasetSplit([first, second, empty])
    #expect(try texts(split) == ["a", "b", "c", "d"])
    let file = try RowFile(split)
    #expect(
      (0..<4).map { file.location(of: $0) } == ["\(first):2", "\(first):4", "\(second):2", "\(second):3"])
    #expect(file.path == "\(first) and 2 more files")
    let other = try scratch.write("train-3.csv", "text,stars\na,1\n")
    #expect(refusal { _ = try RowFile(DatasetSplit([first, other])) }?.location == other)
    let bad = try scratch.write("train-4.csv", "text,label\ne,1\nf,9\n")
    let error = refusal {
      _ = try TokenizedDataset.open(
        DatasetSplit([first, bad]), task: TaskDescription(kind: .classification), labels: LabelSet(count: 2),
        tokenizer: CountingTokenizer(), options: .init(cacheDirectory: nil), on: SoloCommunicator())
    }
    #expect(error?.location == "\(bad):3")
  }

  @Test func `the two parts of a division have each row once, and equal rows on one side`() throws {
    let rows = (0..<50).map { "text \($0 % 40)\n" }.joined()
    let path = try scratch.write("train.txt", rows)
    func part(_ isHeldOut: Bool, seed: UInt64 = 7) throws -> [String] {
      try texts(DatasetSplit([path], share: RowShare(0.2, seed: seed, isHeldOut: isHeldOut)))
    }
    let (held, others) = (try part(true), try part(false))
    #expect(held.count + others.count == 50)
    #expect((10...11).contains(held.count))
    #expect(Set(held).isDisjoint(with: others))
    #expect(try part(true) == held)
    #expect(try part(true, seed: 8) != held)
    let one = try scratch.write("one.txt", "a\na\n")
    #expect(refusal { _ = try RowFile(DatasetSplit([one], share: RowShare(0.5, seed: 1, isHeldOut: true))) } != nil)
  }

  @Test func `texts of several columns are joined`() throws {
    let path = try scratch.write("a.csv", "title,body,label\na,b,1\n,b,0\na,,1\n")
    let task = TaskDescription(
      kind: .classification, columns: DatasetColumns(text: ["title", "body"], label: "label"))
    let data = try TokenizedDataset.open(
      DatasetSplit(path), task: task, labels: LabelSet(count: 2), tokenizer: CountingTokenizer(), options: .init(cacheDirectory: nil),
      on: SoloCommunicator())
    let letters = (0..<3).map { Array(data.tokens($0)).dropFirst().dropLast().map { Int($0) - 3 } }
    #expect(letters == [[97, 32, 98], [98], [97]])
  }
}

@Suite struct CompressedFileTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  /// One member of a gzip file whose block is stored as it is.
  private func gzip(_ text: String) -> [UInt8] {
    let bytes = Array(text.utf8)
    func little(_ number: UInt32, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(number >> (8 * $0) & 0xff) } }
    var crc: UInt32 = 0xffff_ffff
    for byte in bytes {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xedb8_8320 : crc >> 1 }
    }
    let count = UInt32(bytes.count)
    return [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1] + little(count, 2) + little(~count & 0xffff, 2) + bytes
      + little(~crc, 4) + little(count, 4)
  }

  @Test func `compressed files are read by what they hold`() throws {
    let (first, second) = ("{\"text\": \"a\"}\n", "{\"text\": \"b\"}\n")
    let path = try scratch.write("a.jsonl.gz", bytes: gzip(first) + gzip(second) + [0, 0])
    #expect(try RowFile(path).count == 2)
    #expect(try RowFile(path).columns == ["text"])
    #expect(try RowFile(scratch.write("b.jsonl", bytes: gzip(first))).count == 1)
    #expect(try RowFile(scratch.write("c.csv.gz", bytes: gzip("text,label\na,1\n"))).columns == ["text", "label"])
  }

  @Test func `damaged and cut-off compressed files are refused`() throws {
    let whole = gzip("text\nabcdefgh\n")
    var flipped = whole
    flipped[20] ^= 1
    var header = whole
    header[0] = 0
    for bytes in [Array(whole.dropLast(6)), Array(whole.prefix(16)), flipped, header, [], [0x1f, 0x8b]] {
      let error = refusal { _ = try RowFile(scratch.write("a.tsv.gz", bytes: bytes)) }
      #expect(error?.kind == .input)
      #expect(error?.what.contains("gzip") == true)
    }
  }

  @Test func `UTF-16 with a byte order mark is read, without one it is refused by name`() throws {
    let text = "text\tlabel\né😀\t1\n"
    func units(_ isLittle: Bool) -> [UInt8] {
      text.utf16.flatMap { isLittle ? [UInt8($0 & 0xff), UInt8($0 >> 8)] : [UInt8($0 >> 8), UInt8($0 & 0xff)] }
    }
    for bytes in [[0xff, 0xfe] + units(true), [0xfe, 0xff] + units(false)] {
      let file = try RowFile(scratch.write("a.tsv", bytes: bytes))
      #expect(try file.read(0, file.select(["text"])) == [.text("é😀")])
    }
    let little = refusal { _ = try RowFile(scratch.write("a.tsv", bytes: units(true))) }
    #expect(little?.what.contains("UTF-16 (little-endian) without") == true)
    #expect(little?.remedy?.contains("iconv -f UTF-16LE") == true)
    #expect(
      refusal { _ = try RowFile(scratch.write("a.tsv", bytes: units(false))) }?.remedy?.contains("UTF-16BE") == true)
    let half = refusal {
      _ = try RowFile(scratch.write("a.tsv", bytes: [0xff, 0xfe, 0x61, 0, 10, 0, 0, 0xd8, 0x61, 0]))
    }
    #expect(half?.location?.hasSuffix("a.tsv:2") == true)
    #expect(refusal { _ = try RowFile(scratch.write("a.tsv", bytes: [0xff, 0xfe, 0x61])) }?.kind == .input)
  }

  @Test func `a long value is cut in a message`() throws {
    let path = try scratch.write(
      "a.jsonl", "{\"text\": \"a\", \"label\": \"\(String(repeating: "x", count: 1 << 20))\"}\n")
    let error = refusal {
      _ = try TokenizedDataset.open(
        DatasetSplit(path), task: TaskDescription(kind: .classification), labels: LabelSet(names: ["a", "b"]),
        tokenizer: CountingTokenizer(), options: .init(cacheDirectory: nil), on: SoloCommunicator())
    }
    #expect((error?.description.utf8.count ?? .max) < 1000)
    #expect(error?.what.contains("1,048,576 bytes") == true)
    #expect(RetortError(.input, String(repeating: "y", count: 1 << 20)).description.utf8.count < 2000)
  }
}
