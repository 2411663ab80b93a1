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

  /// A record with these objectives, in a step with these teachers.
  private func listed(_ objectives: [JSON], teachers: [(name: String, digest: String, weight: Double)] = []) -> JSON {
    var object = inputs.object!
    var values = object["values"]!.object!
    for key in ["ce_weight", "kd_weight"] { values[key] = nil }
    values["objectives"] = .array(objectives)
    if let first = teachers.first { object["teacher"] = .string(first.digest) }
    if teachers.count > 1 {
      values["combine"] = "logits"
      values["teachers"] = .array(teachers.map { ["name": .string($0.name), "weight": .double($0.weight)] })
      object["more_teachers"] = .array(
        teachers.dropFirst().map { ["teacher": .string($0.digest), "teacher_name": .string($0.name)] })
      object["teacher_name"] = .string(teachers[0].name)
    }
    object["values"] = .object(values)
    return .object(object)
  }

  private func term(_ kind: String, _ members: [String: JSON] = [:]) -> JSON {
    let defaults: [String: JSON] = ["kind": .string(kind), "name": .string(kind), "weight": 1.0, "temperature": 2.0]
    return .object(defaults.merging(members) { $1 })
  }

  @Test func `objectives are compared element by element, with old and new value`() {
    let old = listed([term("forward_kl"), term("hidden_mse", ["layers": ["1": 2], "projection": "auto"])])
    func reasons(_ objectives: [JSON]) -> [String] { InputComparison.reasons(old, listed(objectives)) }
    let hidden = term("hidden_mse", ["layers": ["1": 2], "projection": "auto"])
    #expect(reasons([term("forward_kl", ["temperature": 3.0]), hidden]) == ["objectives.0.temperature 2 → 3"])
    #expect(
      reasons([term("forward_kl", ["weight": ["from": 0.9, "to": 0.3, "shape": "cosine"]]), hidden])
        == [#"objectives.0.weight 1 → {"from": 0.9, "shape": "cosine", "to": 0.3}"#])
    #expect(
      reasons([term("forward_kl"), term("hidden_mse", ["layers": ["1": 1], "projection": "none"])])
        == ["objectives.1.layers.1 2 → 1", "objectives.1.projection auto → none"])
    #expect(
      reasons([term("reverse_kl"), hidden]) == ["objectives.0.kind forward_kl → reverse_kl"])
    #expect(reasons([term("cross_entropy"), term("forward_kl"), hidden]) == [
      "objectives.0 nothing → cross_entropy (weight 1)"
    ])
    #expect(reasons([term("forward_kl")]) == ["objectives.1 hidden_mse (weight 1) → nothing"])
  }

  @Test func `the short form and a list are compared as lists`() {
    let list = listed([
      term("cross_entropy", ["weight": 0.6, "label_smoothing": 0.0, "temperature": .null]),
      term("forward_kl", ["weight": 0.4, "name": "soft"]), term("logits_mse"),
    ])
    var short = inputs.object!
    short["values"] = .object(short["values"]!.object!.merging(["temperature": 2.0]) { $1 })
    let reasons = InputComparison.reasons(.object(short), list)
    #expect(reasons.contains("objectives.2 nothing → logits_mse (weight 1)"), "\(reasons)")
    #expect(!reasons.contains { $0.contains("ce_weight") || $0.contains("objectives.1") }, "\(reasons)")
  }

  @Test func `stages are compared one by one, and what all share is said once`() {
    func stage(_ name: String, _ rate: Double, _ seed: Int, _ objective: JSON) -> JSON {
      ["stage": .string(name), "learning_rate": .double(rate), "seed": .int(seed), "objectives": [objective], "max_steps": 4]
    }
    func record(_ stages: JSON...) -> JSON {
      var object = inputs.object!
      object["values"] = .array(stages)
      return .object(object)
    }
    let old = record(stage("a", 0.001, 1, term("hidden_mse")), stage("b", 0.002, 1, term("forward_kl")))
    func reasons(_ stages: JSON...) -> [String] {
      var object = inputs.object!
      object["values"] = .array(stages)
      return InputComparison.reasons(old, .object(object))
    }
    #expect(reasons(stage("x", 0.001, 1, term("hidden_mse")), stage("y", 0.002, 1, term("forward_kl"))) == [])
    #expect(
      reasons(
        stage("a", 0.001, 1, term("hidden_mse")), stage("b", 0.003, 1, term("forward_kl", ["temperature": 3.0])))
        == ["stages.1.objectives.0.temperature 2 → 3", "stages.1.learning_rate 0.002 → 0.003"])
    #expect(
      reasons(stage("a", 0.001, 2, term("hidden_mse")), stage("b", 0.002, 2, term("forward_kl"))) == ["seed 1 → 2"])
    #expect(reasons(stage("b", 0.002, 1, term("forward_kl"))) == ["stages.0 a (4 steps) → nothing"])
    #expect(
      reasons(
        stage("a", 0.001, 1, term("hidden_mse")), stage("b", 0.002, 1, term("forward_kl")),
        stage("c", 1, 1, term("logits_mse"))) == ["stages.2 nothing → c (4 steps)"])
  }

  @Test func `teachers are compared by what they are, and their names are no input`() {
    let objectives = [term("forward_kl"), term("hidden_mse", ["teacher": "b"])]
    let old = listed(objectives, teachers: [("a", "da", 0.5), ("b", "db", 0.5)])
    func reasons(_ objectives: [JSON], _ teachers: [(name: String, digest: String, weight: Double)]) -> [String] {
      InputComparison.reasons(old, listed(objectives, teachers: teachers))
    }
    // The names alone, and the term's teacher under its new name.
    let renamed = [
      term("forward_kl", ["name": "soft"]), term("hidden_mse", ["teacher": "second", "name": "inside"]),
    ]
    #expect(reasons(renamed, [("first", "da", 0.5), ("second", "db", 0.5)]) == [])
    // The same name for another teacher.
    #expect(
      reasons(objectives, [("b", "da", 0.5), ("a", "db", 0.5)]) == ["objectives.1.teacher a → b"])
    #expect(reasons(objectives, [("b", "db", 0.5), ("a", "da", 0.5)]) == ["the order of the teachers a, b → b, a"])
    #expect(reasons(objectives, [("a", "da", 0.5), ("b", "other", 0.5)]) == ["the teacher b (its files) changed"])
    #expect(
      reasons(objectives, [("a", "da", 0.25), ("b", "db", 0.75)]) == [
        "the weight of the teacher a 0.5 → 0.25", "the weight of the teacher b 0.5 → 0.75",
      ])
    #expect(
      reasons(objectives, [("a", "da", 0.3), ("b", "db", 0.3), ("c", "dc", 0.4)]) == ["the teacher c was added"])
    var precise = old.object!
    precise["more_teachers"] = [["teacher": "db", "teacher_name": "b", "teacher_precision": "bf16"]]
    #expect(
      InputComparison.reasons(old, .object(precise)) == ["the precision of the teacher b fp32 → bf16"])
  }

  @Test func `records that no version wrote have differences too, and never trap`() {
    let odd: [JSON] = [
      .null, [], 3, ["values": [1, "x", []]], ["values": ["objectives": [["teacher": 7], 2, "x"]]],
      ["values": ["objectives": [["teacher": -1, "kind": 4]], "teachers": [1, ["name": 2]]], "more_teachers": [3]],
      ["more_teachers": [["teacher": 1]], "teacher": [], "values": ["objectives": "x", "stage": []]],
    ]
    for first in odd {
      for second in odd where first != second {
        let isSame = StepManifest.deciding(first) == StepManifest.deciding(second)
        #expect(InputComparison.reasons(first, second).isEmpty == isSame, "\(first.text()) \(second.text())")
      }
      #expect(!InputComparison.reasons(first, inputs).isEmpty)
    }
  }

  @Test func `a long value is shown where it differs`() {
    let long = String(repeating: "x", count: 100)
    let reasons = values(["note": .string(long + "1")])
    #expect(reasons == ["note nothing → \(String(repeating: "x", count: 57))…"])
    let (old, new) = InputDifference.texts(.string(long + "1"), .string(long + "2"))
    #expect(old == "…xxxxxxxxxx1" && new == "…xxxxxxxxxx2")
  }
}
