import Collectives
import Datasets
import Platform
import Testing

@Suite struct FeatureDatasetTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private func open(
    _ path: String, _ columns: DatasetColumns = DatasetColumns(), labels: LabelSet? = nil, use: LabelUse = .expected
  ) throws -> FeatureDataset {
    var task = TaskDescription(kind: .features, columns: columns)
    task.labelUse = use
    return try FeatureDataset.open(DatasetSplit(path), task: task, labels: labels, on: SoloCommunicator())
  }

  @Test func `all columns but the label are read, with their means and deviations`() throws {
    let path = try scratch.write("a.csv", "x,label,y\n1, b,10\n 3 ,a,10\n5e0,b,10\n")
    let data = try open(path)
    #expect(data.columnNames == ["x", "y"] && data.count == 3 && data.featureCount == 2)
    #expect(data.values == [1, 10, 3, 10, 5, 10])
    #expect(data.means == [3, 10])
    // Deviations from the mean 3 are −2, 0, 2: √(8/3).
    #expect(abs(data.standardDeviations[0] - 1.6329932) < 1e-6 && data.standardDeviations[1] == 0)
    #expect(data.labels == LabelSet(names: ["a", "b"], reading: .name))
    #expect((0..<3).map(data.label) == [1, 0, 1])
  }

  @Test func `named columns keep their order`() throws {
    let path = try scratch.write("a.tsv", "id\tx\ty\tclass\nq\t1\t2\t0\n")
    let data = try open(path, DatasetColumns(label: "class", features: ["y", "x"]))
    #expect(data.columnNames == ["y", "x"] && data.values == [2, 1])
  }

  @Test func `rows may be lists in JSON Lines`() throws {
    let path = try scratch.write("a.jsonl", "{\"features\":[1,2.5],\"label\":1}\n{\"features\":[-1,0],\"label\":0}\n")
    let data = try open(path)
    #expect(data.columnNames == ["features[0]", "features[1]"] && data.values == [1, 2.5, -1, 0])
    #expect(data.labels == LabelSet(count: 2, reading: .index))
    let uneven = try scratch.write("b.jsonl", "{\"features\":[1,2.5],\"label\":1}\n{\"features\":[1],\"label\":0}\n")
    #expect(refusal { _ = try open(uneven) }?.location == "\(uneven):2")
  }

  @Test(arguments: ["abc", "", "nan", "inf", "1e60", "1 2", "0x", "--1"])
  func `a field that is no finite number is refused with line and column`(field: String) throws {
    let path = try scratch.write("a.tsv", "x\ty\tlabel\n1\t2\t0\n1\t\(field)\t0\n")
    let error = try #require(refusal { _ = try open(path) })
    #expect(error.kind == .input && error.location == "\(path):3, column \"y\"")
  }

  @Test func `a row without a label is read, and a table without the column is refused`() throws {
    let path = try scratch.write("a.csv", "x,label,y\n1,,2\n3,1,4\n5, ,6\n7,0,8\n")
    let data = try open(path, labels: LabelSet(count: 2))
    #expect((0..<4).map(data.label) == [-1, 1, -1, 0] && data.labelledCount == 2 && data.labelled == .some(2))
    #expect(data.values == [1, 2, 3, 4, 5, 6, 7, 8])
    let bare = try scratch.write("b.csv", "x\n1\n")
    #expect(refusal { _ = try open(bare, labels: LabelSet(count: 2)) }?.what.contains("no column \"label\"") == true)
    for use in [LabelUse.ifPresent, .unread] {
      let data = try open(bare, labels: LabelSet(count: 2), use: use)
      #expect(data.label(0) == -1 && data.labelled == .none)
    }
  }

  @Test func `a label that is not read is no input either`() throws {
    let path = try scratch.write("a.csv", "x,label,y\n1,0,2\n3,1,4\n")
    let data = try open(path, labels: LabelSet(count: 2), use: .unread)
    #expect(data.columnNames == ["x", "y"] && data.label(1) == -1)
  }

  @Test func `a label outside the set is refused with its line`() throws {
    let path = try scratch.write("a.csv", "x,label\n1,0\n2,2\n")
    #expect(refusal { _ = try open(path, labels: LabelSet(count: 2)) }?.location == "\(path):3")
  }

  @Test func `a batch holds the rows in the order asked for`() throws {
    let path = try scratch.write("a.csv", "x,y,label\n1,2,0\n3,4,1\n5,6,0\n")
    let data = try open(path)
    let batch = data.batch([2, 1])
    #expect(batch.features == [5, 6, 3, 4] && batch.featureCount == 2 && batch.labels == [0, 1])
    #expect(batch.samples == [2, 1] && batch.count == 2 && batch.tokenCount == 0)
    #expect(batch.contentHashes == [data.contentHash(2), data.contentHash(1)])
    #expect(Set((0..<3).map(data.contentHash)).count == 3)
  }
}
