import Datasets
import Platform
import Testing

@testable import Models

/// What config.json says about a classifier's outputs, and what it cannot say.
@Suite(.timeLimit(.minutes(2))) struct ClassNameTests {
  private let fitting = ModelUse.student(head: .fitting)

  @Test(arguments: [
    (["problem_type": "regression"], 2, "is a regression model with 2 outputs"),
    (["problem_type": "single_label_classification"], 1, "has one output (num_labels 1)"),
    (["problem_type": "bogus"], 2, "has problem_type \"bogus\""), (["problem_type": 7], 2, "has problem_type 7"),
  ] as [([String: JSON], Int, String)])
  func `a problem_type that is unknown or contradicts the head is refused, and as a base gets a new head`(
    keys: [String: JSON], outputs: Int, said: String
  ) throws {
    let made = try MadeDirectory(tinyConfiguration(["num_labels": .int(outputs)]), keys: keys)
    defer { made.remove() }
    for task in [nil, TaskKind.classification, .regression, .multiLabel] {
      let refusal = made.refusal(task: task)
      #expect(refusal.contains(said) && refusal.contains("config.json"), "\(refusal)")
    }
    let base = try made.open(for: fitting, task: .classification, labels: ["a", "b"])
    #expect(base.newHead?.contains(said) == true && base.configuration.kind == .classification)
    #expect(throws: Never.self) { try made.open(for: .description) }
  }

  @Test func `one output without problem_type is a number, as in transformers`() throws {
    for keys: [String: JSON] in [[:], ["problem_type": nil], ["problem_type": "regression"]] {
      let made = try MadeDirectory(tinyConfiguration(["num_labels": 1]), keys: keys)
      defer { made.remove() }
      #expect(try made.open().configuration.kind == .regression)
    }
  }

  @Test(arguments: [
    (["a", "b"], "is no object"), (["0": "a", "5": "b"], "has the key \"5\" and none for class 1"),
    (["0": "a", "-1": "b"], "has the key \"-1\""), (["0": "a", "zz": "b"], "has the key \"zz\""),
    (["0": "a", "01": "b"], "has the key \"01\""), ("a", "is no object"),
    (["0": "a", "1": "A"], "are called \"A\""),
  ] as [(JSON, String)])
  func `an id2label that does not name the classes in order gets a remark`(table: JSON, said: String) throws {
    let made = try MadeDirectory(tinyConfiguration(), keys: ["id2label": table, "num_labels": nil])
    defer { made.remove() }
    let opened = try made.open()
    #expect(opened.remarks.count == 1 && opened.remarks[0].contains(said), "\(opened.remarks)")
    #expect(opened.configuration.labels?.names.count == 2)
  }

  @Test func `two tags of one name are refused for answers`() throws {
    let made = try MadeDirectory(
      tinyConfiguration().with(kind: .tokenClassification), keys: ["id2label": ["0": "O", "1": "o"], "num_labels": nil])
    defer { made.remove() }
    #expect(made.refusal().contains("two tags of id2label are called \"o\""))
    #expect(try made.open(for: fitting).remarks.count == 1)
  }

  @Test func `names in order are no remark`() throws {
    for table: JSON in [["0": "a", "1": "b"], nil, .object([:])] {
      let made = try MadeDirectory(tinyConfiguration(), keys: ["id2label": table])
      defer { made.remove() }
      #expect(try made.open().remarks.isEmpty)
    }
  }
}
