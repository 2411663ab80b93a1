import Datasets
import Foundation
import Platform
import Safetensors
import Tensors
import TestSupport
import Testing

@testable import Models

/// A model directory of the test's own, written tensor by tensor.
struct MadeDirectory {
  let path: String

  /// - Parameters:
  ///   - rename: nil leaves a tensor out.
  ///   - extra: further tensors, zeros of these shapes.
  init(
    _ configuration: ModelConfiguration, keys: [String: JSON] = [:], extra: [String: [Int]] = [:],
    rename: (String) -> String? = { $0 }
  ) throws {
    path = try Shared.temporaryDirectory("model")
    let loaded = try ModelLoader.load(configuration, from: .random, seed: 3)
    let kept = loaded.model.weightTable.compactMap { binding in rename(binding.name).map { ($0, binding) } }
    let extra = extra.sorted { $0.key < $1.key }
    var writer = try SafetensorsWriter(
      path + "/model.safetensors",
      tensors: kept.map { TensorDeclaration($0, .float32, $1.shape.array) }
        + extra.map { TensorDeclaration($0.key, .float32, $0.value) })
    for (name, binding) in kept { try writer.append(name, floats: binding.tensor.array) }
    for (name, shape) in extra {
      try writer.append(name, floats: [Float](repeating: 0.25, count: shape.reduce(1, *)))
    }
    try writer.finish()
    try write(configuration.setting(keys))
  }

  func write(_ configuration: ModelConfiguration) throws {
    try writeFileAtomically(path + "/config.json", JSON.object(configuration.json).text())
  }

  func remove() { try? FileManager.default.removeItem(atPath: path) }

  func open(for use: ModelUse = .answers, task: TaskKind? = nil, labels: [String]? = nil) throws -> ModelDirectory {
    try ModelDirectory(path, for: use, task: task, labels: labels.map { LabelNames($0) })
  }

  /// What is said when it is refused.
  func refusal(for use: ModelUse = .answers, task: TaskKind? = nil) -> String {
    do {
      _ = try open(for: use, task: task).check()
      Issue.record("it was opened")
      return ""
    } catch { return RetortError.wrap(error).description }
  }
}

@Suite(.timeLimit(.minutes(2))) struct CheckpointHeadTests {
  private let fitting = ModelUse.student(head: .fitting)
  private let classes = ["a", "b"]

  /// A BERT checkpoint with another head in place of pooler and classifier.
  private func bert(_ architecture: JSON, pooler: Bool = false, _ head: [String: [Int]]) throws -> MadeDirectory {
    try MadeDirectory(tinyConfiguration(), keys: ["architectures": architecture], extra: head) { name in
      name.hasPrefix("classifier") || (!pooler && name.contains("pooler")) ? nil : name
    }
  }

  @Test(
    arguments: [
      (
        "BertForTokenClassification", "a token classifier", false,
        ["classifier.weight": [2, 8], "classifier.bias": [2]]
      ),
      ("BertForQuestionAnswering", "a question answering model", false, ["qa_outputs.weight": [2, 8]]),
      ("BertForMaskedLM", "a masked language model", false, ["cls.predictions.bias": [30]]),
      ("BertForPreTraining", "a masked language model", true, ["cls.predictions.bias": [30]]),
      ("BertForNextSentencePrediction", "a next sentence predictor", true, ["cls.seq_relationship.weight": [2, 8]]),
      (
        "BertForMultipleChoice", "a multiple choice model", true,
        ["classifier.weight": [1, 8], "classifier.bias": [1]]
      ),
      ("BertModel", "a model without a head", true, [:]),
    ])
  func `another head is refused for answers and made anew for a student`(
    architecture: String, name: String, pooler: Bool, head: [String: [Int]]
  ) throws {
    // The class's name and the tensors alone say the same, but for what only the name can tell.
    for named: JSON in [[.string(architecture)], nil] where !(architecture.hasSuffix("MultipleChoice") && named == nil)
    {
      let made = try bert(named, pooler: pooler, head)
      defer { made.remove() }
      let refusal = made.refusal(task: .classification)
      #expect(refusal.contains(name) && refusal.contains("needs …ForSequenceClassification"), "\(refusal)")
      if head["classifier.weight"] == [2, 8] {
        #expect(try made.open().configuration.kind == .tokenClassification)
      } else if head.isEmpty {
        #expect(try made.open().configuration.kind == .embedding)
      } else {
        #expect(made.refusal().contains(name))
      }
      #expect(throws: Never.self) { try made.open(for: .description) }
      let opened = try made.open(for: fitting, task: .classification, labels: classes)
      #expect(opened.newHead?.contains(name) == true)
      #expect(opened.configuration.labels?.names == classes)
      let report = try opened.check()
      #expect(report.initialized.filter { $0.hasPrefix("classifier") }.count == 2 && report.warning == nil)
    }
  }

  @Test func `a whole classifier under another class's name is one, and that is said`() throws {
    for name in ["BertForMaskedLM", "BertModel", "BertForQuestionAnswering"] {
      let made = try MadeDirectory(tinyConfiguration(), keys: ["architectures": [.string(name)]])
      defer { made.remove() }
      let opened = try made.open()
      #expect(opened.remarks.count == 1 && opened.remarks[0].contains(name), "\(opened.remarks)")
    }
    for name in ["BertForSequenceClassification", "OurOwnClassifier"] {
      let made = try MadeDirectory(tinyConfiguration(), keys: ["architectures": [.string(name)]])
      defer { made.remove() }
      #expect(try made.open().remarks.isEmpty)
    }
  }

  @Test func `a classifier without its pooler is not answered with a random one`() throws {
    let made = try MadeDirectory(tinyConfiguration(), keys: ["architectures": ["BertForSequenceClassification"]]) {
      $0.contains("pooler") ? nil : $0
    }
    defer { made.remove() }
    #expect(made.refusal().contains("a token classifier by its tensors"))
  }

  @Test func `problem_type and the number of outputs decide what a classifier's head is`() throws {
    for (keys, classes, name) in [
      (["problem_type": "multi_label_classification"], 3, "multi-label classifier"),
      (["problem_type": "regression"], 1, "regression model"), ([:], 1, "its head has one output"),
    ] as [([String: JSON], Int, String)] {
      let made = try MadeDirectory(tinyConfiguration(["num_labels": .int(classes)]), keys: keys)
      defer { made.remove() }
      #expect(made.refusal(task: .classification).contains(name))
      let model = try ModelLoader.load(directory: made.path)
      #expect(model.configuration.labels?.names.count == classes)
      #expect(model.configuration.kind == (name.hasPrefix("multi") ? .multiLabel : .regression))
      let student = try made.open(for: fitting, task: .classification, labels: ["a", "b"])
      #expect(student.newHead?.contains(name) == true && student.configuration.kind == .classification)
      #expect(try made.open(for: .student(head: .new), labels: ["a", "b"]).newHead != nil)
    }
    let single = try MadeDirectory(tinyConfiguration(), keys: ["problem_type": "single_label_classification"])
    defer { single.remove() }
    #expect(throws: Never.self) { try single.open() }
  }

  @Test func `a student keeps a head of the task's classes, and gets a new one for others or when asked`() throws {
    let made = try MadeDirectory(
      tinyConfiguration(["num_labels": 3]), keys: ["id2label": ["0": "x", "1": "y", "2": "z"]])
    defer { made.remove() }
    let kept = try made.open(for: fitting, labels: ["p", "q", "r"])
    #expect(kept.newHead == nil && kept.configuration.labels?.names == ["x", "y", "z"])
    let other = try made.open(for: fitting, labels: ["p", "q"])
    #expect(other.newHead == "the checkpoint's has 3 classes, but the task has 2")
    #expect(try other.check().initialized == ["classifier.bias", "classifier.weight"])
    let new = try made.open(for: .student(head: .new), labels: ["x", "y", "z"])
    #expect(new.newHead != nil && !new.weights.contains("classifier.weight"))
  }

  @Test func `a classifier has as many classes as rows, whatever config.json names`() throws {
    for (keys, names) in [
      (["id2label": ["0": "a", "1": "b"], "num_labels": 3], ["a", "b", "LABEL_2"]),
      (["id2label": ["0": "a", "2": "c"]], ["a", "LABEL_1", "c"]),
      (["id2label": ["0": "a", "1": "b", "2": "c", "3": "d"]], ["a", "b", "c"]),
      (["num_labels": 5], ["LABEL_0", "LABEL_1", "LABEL_2"]), (["num_labels": nil], ["LABEL_0", "LABEL_1", "LABEL_2"]),
      (["id2label": ["0": 10, "1": "b", "2": nil]], ["10", "b", "LABEL_2"]),
    ] as [([String: JSON], [String])] {
      let made = try MadeDirectory(tinyConfiguration(["num_labels": 3]), keys: ["num_labels": nil])
      defer { made.remove() }
      try made.write(tinyConfiguration(keys))
      let opened = try made.open()
      #expect(opened.configuration.labels?.names == names, "\(keys)")
      #expect(throws: Never.self) { try opened.check() }
    }
  }

  @Test func `a decoder with a classifier's head is no language model`() throws {
    for architecture: JSON in [["LlamaForSequenceClassification"], ["LlamaForTokenClassification"], nil] {
      let made = try MadeDirectory(
        tinyDecoder(), keys: ["architectures": architecture], extra: ["score.weight": [2, 24]]
      ) {
        $0.hasPrefix("lm_head") ? nil : $0
      }
      defer { made.remove() }
      #expect(made.refusal(task: .languageModeling).contains("needs …ForCausalLM"))
      if architecture == ["LlamaForTokenClassification"] {
        #expect(made.refusal().contains("a token classifier"))
      } else {
        #expect(try made.open().configuration.kind == .classification)
      }
      let base = try made.open(for: fitting, task: .languageModeling)
      #expect(base.newHead != nil)
      #expect(try base.check().initialized == ["lm_head.weight"])
    }
  }

  @Test func `an untied decoder without its head is refused, and a student of it gets one`() throws {
    let made = try MadeDirectory(tinyDecoder()) { $0.hasPrefix("lm_head") ? nil : $0 }
    defer { made.remove() }
    #expect(made.refusal().contains("no head (lm_head.weight)"))
    #expect(try made.open(for: fitting).newHead == "the checkpoint has none")
    try made.write(tinyDecoder(["tie_word_embeddings": true]))
    #expect(try made.open().check().initialized.isEmpty)
    #expect(made.refusal(for: .student(head: .new)).contains("embedding table"))
  }
}

@Suite(.timeLimit(.minutes(2))) struct CheckpointTensorTests {
  @Test func `a head of its own in the file counts, and an equal one is the table`() throws {
    let made = try MadeDirectory(tinyDecoder())
    defer { made.remove() }
    try made.write(tinyDecoder(["tie_word_embeddings": true]))
    let opened = try made.open()
    #expect(opened.configuration.json["tie_word_embeddings"] == false && opened.remarks.count == 1)
    let model = try #require(try ModelLoader.load(directory: made.path).model as? DecoderModel)
    let head = try opened.weights.tensor("lm_head.weight").floats()
    #expect(model.head.value.array == head && model.head !== model.parameters[0])
    #expect(try ModelDirectory.configuration(of: made.path).json["tie_word_embeddings"] == false)

    let tied = try MadeDirectory(tinyDecoder(["tie_word_embeddings": true]))
    defer { tied.remove() }
    let table = try tied.open().weights.tensor("model.embed_tokens.weight").floats()
    let equal = try MadeDirectory(tinyDecoder(["tie_word_embeddings": true]))
    defer { equal.remove() }
    let whole = try SafetensorsFile(equal.path + "/model.safetensors")
    var writer = try SafetensorsWriter(
      equal.path + "/new.safetensors",
      tensors: try whole.names.map { TensorDeclaration($0, .float32, try whole.tensor($0).shape) }
        + [TensorDeclaration("lm_head.weight", .float32, [37, 24])])
    for name in whole.names { try writer.append(name, floats: try whole.tensor(name).floats()) }
    try writer.append("lm_head.weight", floats: table)
    try writer.finish()
    #expect(rename(equal.path + "/new.safetensors", equal.path + "/model.safetensors") == 0)
    let same = try equal.open()
    #expect(same.configuration.json["tie_word_embeddings"] == true && same.remarks.isEmpty)
    #expect(try same.check().warning == nil)
  }

  @Test func `a bias that the checkpoint lacks is said, unless the head is made anew`() throws {
    let made = try MadeDirectory(tinyConfiguration()) { $0 == "classifier.bias" ? nil : $0 }
    defer { made.remove() }
    let loaded = try ModelLoader.load(directory: made.path)
    #expect(loaded.warnings.first?.contains("classifier.bias is not in the checkpoint") == true, "\(loaded.warnings)")
    #expect(try ModelLoader.load(directory: made.path, for: .student(head: .new)).warnings.isEmpty)
  }

  @Test func `what generation_config.json asks for and is not followed is named`() throws {
    let made = try MadeDirectory(tinyDecoder())
    defer { made.remove() }
    func said(_ text: String) throws -> [String] {
      try writeFileAtomically(made.path + "/generation_config.json", text)
      return try tinyDecoder().unfollowed(inModelDirectory: made.path)
    }
    #expect(try said(#"{"eos_token_id": [1, 2], "repetition_penalty": 1.0, "suppress_tokens": null}"#).isEmpty)
    let asked = try said(#"{"repetition_penalty": 1.2, "suppress_tokens": [3]}"#)
    #expect(asked.first?.contains("suppress_tokens, repetition_penalty is not followed") == true, "\(asked)")
  }

  @Test func `a student with a head of its own takes the table of a tied model for it`() throws {
    let made = try MadeDirectory(tinyDecoder(["tie_word_embeddings": true]))
    defer { made.remove() }
    let opened = try made.open(for: .student(head: .fitting))
    let table = try opened.weights.tensor("model.embed_tokens.weight").floats()
    let untied = try tinyDecoder(["tie_word_embeddings": false])
    let model = try ModelLoader.load(untied, from: .layers([0], of: try opened.weights(for: untied)), seed: 1).model
    let decoder = try #require(model as? DecoderModel)
    #expect(decoder.head.value.array == table && decoder.head !== decoder.parameters[0])
    #expect(!(try opened.weights(for: opened.configuration)).contains("lm_head.weight"))
  }

  @Test func `tensors without a place are summed up, and harmless ones are not spoken of`() throws {
    let layer = "model.layers.1."
    let made = try MadeDirectory(
      tinyDecoder(["num_hidden_layers": 2]),
      extra: [
        "model.layers.0.self_attn.q_proj.bias": [24], layer + "self_attn.q_proj.bias": [24],
        "model.layers.2.mlp.up_proj.weight": [20, 24], "model.layers.3.mlp.up_proj.weight": [20, 24],
        "adapter.lora_A.weight": [2, 24], "model.layers.0.self_attn.rotary_emb.inv_freq": [2],
      ])
    defer { made.remove() }
    let warning = try #require(try made.open().check().warning)
    #expect(warning.contains("ignored 5 tensors that have no place in the model: layers 2 to 3"), "\(warning)")
    #expect(warning.contains("adapter.lora_A.weight") && warning.contains("layers.*.self_attn.q_proj.bias (2)"))
    #expect(!warning.contains("inv_freq"))
    let bert = try MadeDirectory(
      tinyConfiguration(), extra: ["bert.embeddings.position_ids": [12], "cls.predictions.bias": [30]])
    defer { bert.remove() }
    #expect(try bert.open().check().warning == nil)
  }

  @Test(
    arguments: [
      ("module.", ""), ("_orig_mod.", ""), ("model.", ""), ("module._orig_mod.", ""), ("student.net.", ""),
      ("", "_orig_mod."), ("model._orig_mod.", "_checkpoint_wrapped_module."), ("_fsdp_wrapped_module.", ""),
    ])
  func `names of wrapped models are read without the wrappers`(prefix: String, inside: String) throws {
    for configuration in [try tinyDecoder(), try tinyConfiguration()] {
      let plain = try MadeDirectory(configuration)
      let wrapped = try MadeDirectory(configuration) { name in
        let parts = name.split(separator: ".", maxSplits: 1)
        return prefix + parts[0] + "." + inside + parts[1]
      }
      defer {
        plain.remove()
        wrapped.remove()
      }
      let (ours, theirs) = (try wrapped.open(), try plain.open())
      #expect(ours.weights.names.sorted() == theirs.weights.names.sorted())
      for name in theirs.weights.names {
        #expect(try ours.weights.tensor(name).floats() == theirs.weights.tensor(name).floats())
      }
      #expect(ours.remarks.count == 1 && theirs.remarks.isEmpty)
    }
  }

  @Test func `of two models in one file neither is taken`() throws {
    let made = try MadeDirectory(
      tinyConfiguration(), extra: ["teacher.bert.embeddings.word_embeddings.weight": [30, 8]]
    ) { "student.\($0)" }
    defer { made.remove() }
    #expect(made.refusal(for: .student(head: .fitting)).contains("are missing"))
  }

  @Test(
    arguments: [
      ["hidden_size": 65536], ["vocab_size": 1_000_000_000], ["intermediate_size": 1_000_000_000],
      ["num_hidden_layers": 16_000], ["num_attention_heads": 0], ["num_attention_heads": -1],
      ["num_attention_heads": 7], ["num_hidden_layers": 1_000_000_000], ["hidden_size": .double(1e300)],
      ["hidden_size": .double(.nan)], ["vocab_size": .int(.max)],
    ] as [[String: JSON]])
  func `sizes that are not the weights' are refused before anything has them`(keys: [String: JSON]) throws {
    for configuration in [try tinyDecoder(), try tinyConfiguration()] {
      let made = try MadeDirectory(configuration)
      defer { made.remove() }
      try made.write(configuration.setting(keys))
      let start = ContinuousClock().now
      #expect(!made.refusal().isEmpty && !made.refusal(for: .student(head: .new)).isEmpty)
      #expect(ContinuousClock().now - start < .seconds(20))
    }
  }

  @Test func `integers that stand for scaled weights are refused, with the name of the scale`() throws {
    let made = try MadeDirectory(tinyDecoder(), extra: ["model.layers.0.mlp.up_proj.weight_scale": [20]]) {
      $0 == "model.layers.0.mlp.up_proj.weight" ? nil : $0
    }
    defer { made.remove() }
    #expect(made.refusal().contains("model.layers.0.mlp.up_proj.weight"))
  }

  @Test func `keys that are not used may be NaN`() throws {
    let made = try MadeDirectory(tinyConfiguration())
    defer { made.remove() }
    let text = try String(contentsOfFile: made.path + "/config.json", encoding: .utf8)
    try writeFileAtomically(made.path + "/config.json", "{\"best_loss\": NaN, \"most\": -Infinity, " + text.dropFirst())
    #expect(try made.open().configuration.json["best_loss"]?.double?.isNaN == true)
    try writeFileAtomically(made.path + "/config.json", "{\"hidden_dropout_prob\": NaN, " + text.dropFirst())
    #expect(made.refusal().contains("hidden_dropout_prob"))
  }
}
