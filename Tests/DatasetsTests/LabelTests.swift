import Collectives
import Datasets
import Platform
import Testing

@Suite struct LabelTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private func scan(_ labels: [String], _ name: String = "a.tsv") throws -> LabelScan {
    let path = try scratch.write(name, "label\tx\n" + labels.map { "\($0)\t\n" }.joined())
    return try LabelScan(try RowFile(path), column: "label", on: SoloCommunicator())
  }

  @Test func `labels are names without regard to case, or numbers within the set`() {
    let set = LabelSet(names: ["negative", "positive"])
    #expect(set.index(of: "Positive") == 1)
    #expect(set.index(of: "0") == 0)
    #expect(set.index(of: "2") == nil)
    #expect(set.index(of: "-1") == nil)
    #expect(set.index(of: "neutral") == nil)
    #expect(LabelSet(count: 3).index(of: "2") == 2)
    #expect(LabelSet(count: 3).index(of: "positive") == nil)
  }

  @Test func `names that are numbers win over places`() {
    #expect(LabelSet(names: ["1", "2", "3"]).index(of: "1") == 0)
  }

  @Test func `integers infer as many classes as the largest says, names in alphabetical order`() throws {
    let found = try scan(["1", "0", "3", "1"])
    let set = try found.labelSet().set
    #expect(set == LabelSet(count: 4, reading: .index))
    #expect(
      set.warnings(train: found, validation: nil).first
        == "\(scratch.path)/a.tsv: no row has the class 2 of 4; nothing can be learnt about it")
    #expect(try scan(["spam", "ham", "spam"]).labelSet().set == LabelSet(names: ["ham", "spam"], reading: .name))
    #expect(try scan(["1", "2", "10"]).entries.map(\.label) == ["1", "2", "10"])
  }

  @Test func `a scan knows the first line and the number of each label`() throws {
    let found = try scan(["b", "a", "", "b"])
    #expect(found.entries.map { "\($0.label) \($0.line) \($0.count)" } == ["a 3 1", "b 2 2"])
    #expect(found.firstUnlabelledLine == 4 && found.rowCount == 4 && found.labelled == .some(3))
    #expect(!found.areIntegers)
    let error = refusal { try found.check(against: LabelSet(names: ["a", "c"])) }
    #expect(error?.location == "\(scratch.path)/a.tsv:2")
    #expect(error?.what == "the label \"b\" is not in the set: 0 (a), 1 (c)")
  }

  @Test func `negative labels, absurdly many and none at all make no set`() throws {
    #expect(refusal { _ = try scan(["0", "-1"]).labelSet() }?.location == "\(scratch.path)/a.tsv:3")
    #expect(refusal { _ = try scan(["0", "123456789"]).labelSet() }?.location == "\(scratch.path)/a.tsv:3")
    #expect(refusal { _ = try scan(["", ""]).labelSet() }?.what.hasPrefix("no row has a label") == true)
  }

  /// The classes of labels in a set, and what is said of them.
  private func read(_ labels: [String], _ set: LabelSet, told: LabelReading? = nil) throws -> ([Int32?], LabelReading?)
  {
    let decided = try set.deciding([try scan(labels)], told: told).set
    return (labels.map(decided.index), decided.reading)
  }

  @Test func `one file is read all by name or all by index`() throws {
    let stars = LabelSet(names: ["1", "2", "3"])
    #expect(try read(["0", "1", "2"], stars) == ([0, 1, 2], .index))
    #expect(try read(["1", "2", "3"], stars) == ([0, 1, 2], .name))
    #expect(try read(["0", "1"], stars) == ([0, 1], .index))
    #expect(try read(["3"], stars) == ([2], .name))
    #expect(try read(["1", "2"], stars, told: .index) == ([1, 2], .index))
    #expect(try read(["1", "2"], stars, told: .name) == ([0, 1], .name))
    #expect(
      refusal { _ = try read(["1", "2"], stars) }?.what.contains("name of class 0 and the index of class 1") == true)
    // Names that are their own places leave nothing open.
    #expect(try read(["1", "0"], LabelSet(names: ["0", "1"])) == ([1, 0], .name))
  }

  @Test func `names among indices are refused with a line of each`() throws {
    let set = LabelSet(names: ["negative", "positive"])
    let error = refusal { _ = try read(["positive", "negative", "1"], set) }
    #expect(error?.location == "\(scratch.path)/a.tsv:4")
    #expect(error?.what.contains("\"negative\" (\(scratch.path)/a.tsv:3) is a class name") == true)
    let free = refusal { _ = try scan(["positive", "1"]).labelSet() }
    #expect(free?.what.contains("\"positive\"") == true)
  }

  @Test func `truth values, whole numbers with a point and numbers from 1 are classes`() throws {
    let set = LabelSet(names: ["negative", "positive"])
    #expect(try read(["True", "false"], set) == ([1, 0], .boolean))
    #expect(try read(["1.0", "0.0"], set) == ([1, 0], .index))
    #expect(try read(["4", "1", "2"], LabelSet(count: 4)) == ([3, 0, 1], .indexFromOne))
    #expect(try scan(["true", "false"]).labelSet().set == LabelSet(names: ["false", "true"], reading: .name))
    #expect(try scan(["1.0", "0.0"]).labelSet().set == LabelSet(count: 2, reading: .index))
    let four = try scan(["4", "1", "2", "3"]).labelSet()
    #expect(four.set == LabelSet(names: ["1", "2", "3", "4"], reading: .name))
    #expect(four.notes.count == 1)
    #expect(try scan(["2", "4"]).labelSet().set.names == ["2", "4"])
    #expect(refusal { _ = try scan(["0.5", "1.0"]).labelSet() }?.what.contains("numbers with a fraction") == true)
  }

  @Test func `generic names are names`() throws {
    #expect(try read(["LABEL_1", "LABEL_0"], LabelSet(count: 2)) == ([1, 0], .name))
  }

  @Test func `train and validation are read in one way`() throws {
    let (train, validation) = (try scan(["1", "2"]), try scan(["3"], "b.tsv"))
    let stars = LabelSet(names: ["1", "2", "3"])
    #expect(try stars.deciding([train, validation]).set.reading == .name)
    #expect(try train.labelSet(validation: scan(["0"], "b.tsv")).set == LabelSet(count: 3, reading: .index))
  }

  @Test func `a class with one row is a remark with the name that may be meant`() throws {
    let found = try scan(["Sports", "Sports", "Sport", "World", "World"])
    let warnings = try found.labelSet().set.warnings(train: found, validation: nil)
    #expect(warnings == ["\(scratch.path)/a.tsv:4: the one row of the class \"Sport\"; is it a slip for \"Sports\"?"])
    #expect(try found.labelSet().set.counts(in: found) == "\(scratch.path)/a.tsv: Sport 1, Sports 2, World 2")
  }

  @Test func `class names must be distinct`() {
    #expect(refusal { try LabelSet(names: ["yes", "Yes"]).requireDistinctNames() }?.kind == .configuration)
  }
}
