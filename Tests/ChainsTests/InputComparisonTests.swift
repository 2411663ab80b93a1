import Platform
import Testing

@testable import Chains

@Suite struct InputComparisonTests {
  private let inputs: JSON = [
    "step_id": "a", "teacher_name": "t", "teacher": "d1", "student_base": "random", "train": "d2", "validation": "d3",
    "student_tokenizer": "d4", "max_length": 64, "precision": "fp32", "labels": ["no", "yes"],
    "student_configuration": ["hidden_size": 32, "family": "bert"],
    "values": [
      "ce_weight": 0.6, "kd_weight": 0.4, "learning_rate": 1e-3, "precision": "fp32",
      "optimizer": ["weight_decay": 0.0],
    ],
  ]

  private func reasons(_ change: (inout [String: JSON]) -> Void) -> [String] {
    var object = inputs.object!
    change(&object)
    return InputComparison.reasons(inputs, .object(object))
  }

  private func values(_ changes: [String: JSON]) -> [String] {
    reasons { $0["values"] = .object($0["values"]!.object!.merging(changes) { $1 }) }
  }

  @Test func `equal inputs, and names alone, are no reason`() {
    #expect(reasons { _ in } == [])
    #expect(reasons { $0["step_id"] = "b"; $0["teacher_name"] = "./t" } == [])
    #expect(reasons { $0["max_length"] = 64.0 } == [])
  }

  @Test func `a value is named as in the chain file, old and new`() {
    #expect(values(["ce_weight": 0.9, "kd_weight": 0.1]) == ["alpha 0.6 → 0.9"])
    #expect(values(["ce_weight": 1, "kd_weight": 1]) == ["ce_weight 0.6 → 1", "kd_weight 0.4 → 1"])
    #expect(values(["learning_rate": 0.002]) == ["learning_rate 0.001 → 0.002"])
    #expect(values(["optimizer": ["weight_decay": 0.01]]) == ["optimizer.weight_decay 0 → 0.01"])
    #expect(values(["early_stopping_patience": 3]) == ["early_stopping_patience nothing → 3"])
    #expect(reasons { $0["student_configuration"] = ["hidden_size": 48, "family": "bert"] } == [
      "student_base.hidden_size 32 → 48"
    ])
    #expect(reasons { $0["labels"] = ["yes", "no"] } == [#"the classes ["no", "yes"] → ["yes", "no"]"#])
  }

  @Test func `files are named by what they are, without what follows from others`() {
    #expect(reasons { $0["train"] = "x" } == ["the training data changed"])
    #expect(reasons { $0["teacher"] = "x" } == ["the teacher (its files) changed"])
    #expect(reasons { $0["teacher"] = nil } == ["the step no longer has a teacher"])
    #expect(reasons { $0["student_base"] = "x" } == ["the student starts from other weights"])
    #expect(reasons { $0["student_tokenizer"] = "x"; $0["train"] = "y"; $0["validation"] = "z" } == [
      "the student's tokenizer changed"
    ])
    #expect(reasons { $0["max_length"] = 32; $0["train"] = "y" } == ["max_length 64 → 32"])
  }
}
