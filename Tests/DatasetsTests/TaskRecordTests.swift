import Platform
import Testing

@testable import Datasets

/// The task in a student's config.json.
@Suite struct TaskRecordTests {
  @Test func `what a training run records is accepted`() throws {
    for kind in TaskKind.allCases {
      var task = TaskDescription(kind: kind)
      task.threshold = 0.25
      task.stride = WindowStride(0, at: "task.stride")
      task.headers = ["text", "label"]
      let columns = DatasetColumns(text: ["title", "body"], textPair: "other", label: "label", prompt: "prompt")
      let record = TaskRecord(task, columns: columns, reading: .indexFromOne, metric: "loss", maxLength: 128)
      #expect(throws: Never.self) { try TaskRecord.check(record.json, at: "config.json") }
    }
    for absent: JSON? in [nil, .null] {
      #expect(throws: Never.self) { try TaskRecord.check(absent, at: "config.json") }
    }
  }

  @Test(arguments: [
    ("kind", "bogus"), ("kind", nil), ("threshold", 7), ("threshold", 0), ("threshold", "x"), ("stride", -5),
    ("stride", 1.5), ("max_length", -1), ("max_length", "long"), ("subwords", "last"), ("labels_are", "words"),
    ("metric", "best"), ("text", 3), ("text_pair", [1]), ("label", ["a"]), ("columns", "a,b"),
  ] as [(String, JSON)])
  func `a value that no run records is refused with its key`(key: String, value: JSON) throws {
    let record = JSON.object(["kind": "multi_label"].merging([key: value]) { $1 })
    let error = try #require(refusal { try TaskRecord.check(record, at: "m/config.json") })
    #expect(error.kind == .input && error.location == "m/config.json" && error.what.hasPrefix("retort_task.\(key) is "))
    #expect(error.remedy?.contains("remove retort_task") == true)
  }

  @Test func `a record that is no object is refused`() throws {
    #expect(refusal { try TaskRecord.check(["multi_label"], at: "m/config.json") }?.what.contains("an object") == true)
  }
}
