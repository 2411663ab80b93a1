import Collectives
import Datasets
import Platform
import Testing

@Suite struct LabelTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private func scan(_ labels: [String]) throws -> LabelScan {
    let path = try scratch.write("a.tsv", "label\tx\n" + labels.map { "\($0)\t\n" }.joined())
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
    #expect(try scan(["1", "0", "3", "1"]).labelSet() == LabelSet(count: 4))
    #expect(try scan(["1", "3"]).notes == ["\(scratch.path)/a.tsv: no row has the label 0, 2 of 0 to 3"])
    #expect(try scan(["spam", "ham", "spam"]).labelSet() == LabelSet(names: ["ham", "spam"]))
    #expect(try scan(["1", "2", "10"]).entries.map(\.label) == ["1", "2", "10"])
  }

  @Test func `a scan knows the first line and the number of each label`() throws {
    let found = try scan(["b", "a", "", "b"])
    #expect(found.entries.map { "\($0.label) \($0.line) \($0.count)" } == ["a 3 1", "b 2 2"])
    #expect(found.firstUnlabelledLine == 4)
    #expect(!found.areIntegers)
    let error = refusal { try found.check(against: LabelSet(names: ["a", "c"])) }
    #expect(error?.location == "\(scratch.path)/a.tsv:2")
    #expect(error?.what == "the label \"b\" is not in the set: 0 (a), 1 (c)")
  }

  @Test func `negative labels, absurdly many and none at all make no set`() throws {
    #expect(refusal { _ = try scan(["0", "-1"]).labelSet() }?.location == "\(scratch.path)/a.tsv:3")
    #expect(refusal { _ = try scan(["0", "123456789"]).labelSet() }?.location == "\(scratch.path)/a.tsv:3")
    #expect(refusal { _ = try scan(["", ""]).labelSet() }?.what == "no row has a label")
  }

  @Test func `class names must be distinct`() {
    #expect(refusal { try LabelSet(names: ["yes", "Yes"]).requireDistinctNames() }?.kind == .configuration)
  }
}
