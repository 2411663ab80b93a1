import Foundation
import Platform
import TestSupport
import Testing

@testable import Chains

/// The message of a refused chain file; every refusal must be a configuration error.
private func refusal(
  _ yaml: String, overrides: [String] = [], environment: [String: String] = [:],
  sourceLocation: SourceLocation = #_sourceLocation
) -> String {
  do {
    _ = try ChainConfiguration(parsing: yaml, file: "c.yaml", overrides: overrides, environment: environment)
    return "accepted"
  } catch {
    let error = RetortError.wrap(error)
    #expect(error.kind == .configuration, sourceLocation: sourceLocation)
    return error.description
  }
}

/// A chain up to its steps, which start at line 4.
private let head = "distillation_chain:\n  metadata: {dataset: d}\n  steps:\n"

@Suite("A chain file is refused with place, reason and remedy")
struct ConfigurationRefusalTests {
  @Test("an unknown key names the nearest known one")
  func unknownKeys() {
    let typo = template.replacingOccurrences(of: "task:", with: "tsk:")
    #expect(refusal(typo).hasPrefix("c.yaml:2: metadata.tsk: unknown key; did you mean \"task\"?"))
    #expect(
      refusal(oneStep("temprature: 2")).hasPrefix(
        "c.yaml:7: steps.0.hyperparams.temprature: unknown key; did you mean \"temperature\"?"))
    #expect(refusal(oneStep("epochs: 2")).contains("did you mean \"num_train_epochs\"?"))
    #expect(refusal(oneStep("optimizer: {weight_deacy: 1}")).contains("steps.0.hyperparams.optimizer.weight_deacy"))
    #expect(
      refusal(oneStep("weight_decay: 1")).contains(
        "unknown key here; \"weight_decay\" belongs in hyperparams.optimizer. The keys here are learning_rate,"))
    #expect(
      refusal(oneStep("zzzzzz: 1")).hasPrefix(
        "c.yaml:7: steps.0.hyperparams.zzzzzz: unknown key. The keys here are learning_rate, num_train_epochs,"))
    #expect(
      refusal(head + "    - {student_base: {family: llama, num_hiden_layers: 2}, output_dir: y}").contains(
        "steps.0.student_base.num_hiden_layers: unknown key; did you mean \"num_hidden_layers\"?"))
    let others = "    - {student_base: {family: llama, pad_token_id: 2, auto_map: {}}, output_dir: y}"
    #expect(refusal(head + others) == "accepted")
    #expect(
      refusal(head.replacingOccurrences(of: "d}", with: "d, task: language_modelling}")).contains(
        "Did you mean \"language_modeling\"?"))
    #expect(refusal("chain: {}").contains("did you mean \"distillation_chain\"?"))
  }

  @Test(
    "a number out of range is refused with the allowed range",
    arguments: [
      ("learning_rate: -1", "is -1, which is outside the allowed range. Allowed: a number, 0 or more."),
      ("learning_rate: .nan", "is .nan, which is outside the allowed range. Allowed: a number, 0 or more."),
      ("learning_rate: inf", "is inf, which is outside the allowed range. Allowed: a number, 0 or more."),
      ("learning_rate: 1e999", "is 1e999, which is outside the allowed range. Allowed: a number, 0 or more."),
      ("learning_rate: fast", "is \"fast\", a number was expected. Allowed: 0 or more."),
      ("learning_rate:", "is null, a number was expected. Allowed: 0 or more."),
      ("learning_rate: [1]", "is a list, a number was expected. Allowed: 0 or more."),
      ("batch_size: 0", "is 0, which is outside the allowed range. Allowed: a whole number, 1 or more."),
      ("batch_size: 1.5", "is 1.5, which is outside the allowed range. Allowed: a whole number, 1 or more."),
      ("batch_size: 1e30", "is 1e30, which is outside the allowed range. Allowed: a whole number, 1 or more."),
      ("temperature: 0", "is 0, which is outside the allowed range. Allowed: a number, greater than 0."),
      ("alpha: 1.5", "is 1.5, which is outside the allowed range. Allowed: a number, from 0 to 1."),
      ("dropout: 1", "is 1, which is outside the allowed range. Allowed: a number, from 0 to below 1."),
      ("num_train_epochs: 0", "is 0, which is outside the allowed range. Allowed: a number, above 0, up to 1000000."),
      ("num_train_epochs: 1e30", "is 1e30, which is outside the allowed range. Allowed: a number, above 0, up to"),
      ("batch_tokens: 0", "is 0, which is outside the allowed range. Allowed: a whole number, 1 or more."),
      ("max_steps: -1", "is -1, which is outside the allowed range. Allowed: a whole number, 1 or more."),
      ("warmup_steps: -1", "is -1, which is outside the allowed range. Allowed: a whole number, 0 or more."),
      ("shuffle: maybe", "is \"maybe\", true or false was expected."),
      ("activation_checkpointing: 2", "is \"2\", true or false was expected."),
      ("precision: fp16", "is \"fp16\". Did you mean \"fp32\"? Allowed: auto, fp32, bf16."),
      ("schedule: step", "is \"step\". Allowed: linear, cosine, constant."),
      ("optimizer: 3", "is \"3\", a mapping was expected. Its keys are weight_decay, betas, epsilon, max_grad_norm."),
      ("optimizer: {betas: [0.9]}", "has 1 items, 2 were expected: [0.9, 0.999]."),
      (
        "evaluation_strategy: steps",
        "is steps, and eval_steps is missing. Add eval_steps: N, the optimizer steps between evaluations."
      ),
      (
        "eval_steps: 5",
        "has no meaning with evaluation_strategy: epoch. Add evaluation_strategy: steps, or take it out."
      ),
      ("gradient_accumulation_steps: 33", "is 33, more than the 32 examples of a batch."),
      (
        "kd_weight: 2",
        "is above 1, and the other weight, 1 minus this one, would be negative. Give both ce_weight and kd_weight."
      ),
      (
        "objective: {kind: reverse_kl, beta: 1}",
        "reverse_kl has no option \"beta\"; jensen_shannon has. Its options are temperature."
      ),
    ])
  func values(line: String, message: String) {
    let got = refusal(oneStep(line))
    #expect(got.hasPrefix("c.yaml:7: steps.0.hyperparams."))
    #expect(got.contains(message.dropLast()), "\(got)")
  }

  @Test("keys that exclude each other are refused together")
  func conflicts() {
    #expect(
      refusal(oneStep("alpha: 0.5", "kd_weight: 0.5")).hasPrefix(
        "c.yaml:7: steps.0.hyperparams.alpha: is given together with kd_weight"))
    #expect(
      refusal(oneStep("warmup_steps: 5", "warmup_ratio: 0.5")).hasPrefix(
        "c.yaml:8: steps.0.hyperparams.warmup_ratio: is given together with warmup_steps"))
    #expect(refusal(oneStep("ce_weight: 0", "kd_weight: 0")).contains("are both 0"))
    #expect(
      refusal(oneStep("batch_size: 32", "batch_tokens: 2048")).hasPrefix(
        "c.yaml:8: steps.0.hyperparams.batch_tokens: is given together with batch_size "
          + "(c.yaml:7: steps.0.hyperparams.batch_size)"))
    #expect(
      refusal(oneStep("batch_tokens: 64", "gradient_accumulation_steps: 65")).contains(
        "is 65, more than the 64 tokens of a batch"))
  }

  @Test("a mistake in the defaults is reported where it stands")
  func defaults() {
    let yaml =
      "distillation_chain:\n  metadata: {dataset: d}\n  defaults:\n    batch_size: none\n"
      + "  steps: [{student_base: a, output_dir: b}]"
    #expect(refusal(yaml).hasPrefix("c.yaml:4: defaults.batch_size: is \"none\""))
  }

  @Test("step names, output directories and keys occur once")
  func duplicates() {
    func chain(_ first: String, _ second: String) -> String {
      "distillation_chain:\n  metadata: {dataset: d}\n  steps:\n    - {\(first)}\n    - {\(second)}"
    }
    #expect(
      refusal(chain("step_id: a, student_base: s, output_dir: x", "step_id: a, student_base: s, output_dir: y"))
        .hasPrefix("c.yaml:5: steps.1.step_id: \"a\" is the step_id of step 0 already"))
    #expect(
      refusal(chain("student_base: s, output_dir: x", "student_base: s, output_dir: ./y/../x/"))
        .hasPrefix("c.yaml:5: steps.1.output_dir: \"./y/../x/\" is the output_dir of step \"step_1\" already"))
    #expect(
      refusal(chain("student_base: s, output_dir: x, output_dir: z", "student_base: s, output_dir: y"))
        .hasPrefix("c.yaml:4: the key \"output_dir\" is written more than once"))
  }

  @Test("a step cannot use itself or a later step")
  func order() {
    func chain(_ keys: String) -> String {
      head + "    - {step_id: a, output_dir: x, \(keys)}\n    - {step_id: b, student_base: s, output_dir: y}"
    }
    #expect(refusal(chain("student_base: s, teacher: b")).hasPrefix("c.yaml:4: steps.0.teacher: \"b\" is a later step"))
    #expect(refusal(chain("student_base: s, teacher: [t, a]")).contains("\"a\" is this step itself"))
    #expect(refusal(chain("student_base: b")).contains("steps.0.student_base: \"b\" is a later step"))
  }

  @Test("what has no default must be there, and what is there must be of its kind")
  func structure() {
    #expect(refusal("") == "c.yaml: is empty. A chain file starts with distillation_chain:.")
    #expect(refusal("distillation_chain: {metadata: {dataset: d}, steps: []}").contains("steps: is empty"))
    #expect(
      refusal("distillation_chain: {metadata: {dataset: d}}").hasPrefix("c.yaml:1: steps: is required and missing"))
    #expect(refusal("distillation_chain: {steps: []}").contains("metadata: is required and missing"))
    #expect(
      refusal("distillation_chain: {metadata: {}, steps: []}").contains("metadata.dataset: is required and missing"))
    #expect(refusal("distillation_chain: 5").contains("is \"5\", a mapping was expected"))
    #expect(refusal("- a\n- b").hasPrefix("c.yaml:1: is a list, a mapping was expected"))
    let noOutput = "distillation_chain:\n  metadata: {dataset: d}\n  steps:\n    - student_base: a"
    #expect(refusal(noOutput).hasPrefix("c.yaml:4: steps.0.output_dir: is required and missing"))
    let noBase =
      "distillation_chain:\n  metadata: {dataset: d}\n  steps:\n    - output_dir: a\n      student_base: null"
    #expect(refusal(noBase).hasPrefix("c.yaml:5: steps.0.student_base: is required and null"))
    func placed(_ keys: String) -> String {
      refusal("distillation_chain: {metadata: {dataset: d}, parallel: {teacher: {\(keys)}}, steps: []}")
    }
    #expect(placed("placement: sharred").contains("is \"sharred\". Did you mean \"sharded\"?"))
    #expect(placed("placement: streamed, ranks: 2").contains("ranks: has no meaning for placement: streamed"))
    #expect(placed("placement: sharded, ranks: 0").contains("outside the allowed range"))
    #expect(placed("sharding: rows").contains("parallel.teacher.sharding: is \"rows\". Allowed: tensor, pipeline"))
    #expect(placed("payload: topk").contains("Did you mean \"top_k\"?"))
    let sharding = "distillation_chain: {metadata: {dataset: d}, parallel: {student: {sharding: zero}}, steps: []}"
    #expect(
      refusal(sharding).contains(
        "parallel.student.sharding: is \"zero\". Allowed: none, optimizer, gradients, parameters."))
    let limit = "distillation_chain: {metadata: {dataset: d}, parallel: {teacher: {cache_limit: much}}, steps: []}"
    #expect(refusal(limit).contains("parallel.teacher.cache_limit: is \"much\", a size was expected"))
    let task =
      "distillation_chain: {metadata: {dataset: d, task: {kind: language_modeling, labels: [a, b]}}, steps: []}"
    #expect(refusal(task).contains("metadata.task.labels: has no meaning for kind: language_modeling"))
  }

  @Test("documents, prompts and metrics belong to the tasks that have them")
  func documents() {
    func chain(_ task: String, metric: String = "loss") -> String {
      """
      distillation_chain:
        metadata: {dataset: d, task: \(task)}
        steps: [{student_base: a, output_dir: b, hyperparams: {metric: \(metric)}}]
      """
    }
    #expect(refusal(chain("{text: t, prompt: p}")).contains("task.prompt: has no meaning for kind: classification"))
    #expect(refusal(chain("{features: [a], documents: line}")).contains("task.documents: has no meaning"))
    let empty = refusal(chain("{kind: language_modeling, documents: \"\"}"))
    #expect(empty.contains("task.documents"))
    let accuracy = refusal(chain("language_modeling", metric: "accuracy"))
    #expect(accuracy.contains("hyperparams.metric: is accuracy, which data of kind language_modeling does not have"))
    #expect(accuracy.lowercased().contains("it has: perplexity, loss"))
    #expect(refusal(chain("sst2", metric: "perplexity")).contains("which data of kind classification does not have"))
  }

  @Test("weights from a teacher need a teacher and a layer each")
  func studentInit() {
    func chain(_ keys: String) -> String {
      head + "    - {output_dir: x, student_init: {from: teacher, layers: [0, 2]}, \(keys)}"
    }
    #expect(refusal(chain("student_base: b")).contains("takes weights from the teacher, and this step has none"))
    #expect(
      refusal(chain("student_base: {num_hidden_layers: 3}, teacher: a")).contains(
        "names 2 layers, and student_base has num_hidden_layers: 3"))
  }

  @Test("text that is not YAML is refused with its line")
  func syntax() {
    #expect(refusal("a:\n  b: [1, 2\nc: 3").hasPrefix("c.yaml:3: is not valid YAML"))
    #expect(refusal("a:\n\tb: 1").hasPrefix("c.yaml:2: is not valid YAML"))
    #expect(refusal("a: *nowhere").hasPrefix("c.yaml:1: is not valid YAML: found undefined alias"))
    #expect(refusal("a: {b: ${HOME}}").contains("an environment reference needs quotes"))
    #expect(refusal("a: 1\n---\nb: 2").hasPrefix("c.yaml:2: is not valid YAML"))
    #expect(refusal("? [a]\n: 1").contains("a key is a list or a mapping"))
    #expect(refusal("a: " + String(repeating: "[", count: 100_000)).hasPrefix("c.yaml:1: is not valid YAML"))
    #expect(refusal("a: \"\\uD800\"").hasPrefix("c.yaml:1: is not valid YAML"))
    #expect(refusal("a: \u{0}").contains("is not valid YAML"))
    #expect(refusal("a:\n  <<: 5").hasPrefix("c.yaml:2: the merge key << has \"5\""))
    let levels = (1...8).map {
      "x-\($0): &a\($0) [\(Array(repeating: "*a\($0 - 1)", count: 9).joined(separator: ","))]"
    }
    #expect(refusal(("x-0: &a0 [1]\n" + levels.joined(separator: "\n"))).contains("more than 100,000 values"))
  }

  @Test("a file that cannot be opened or is no text is a configuration error that names it")
  func files() throws {
    func refused(_ path: String) -> RetortError? {
      do {
        _ = try ChainConfiguration(contentsOf: path)
        return nil
      } catch { return RetortError.wrap(error) }
    }
    let missing = refused(Shared.nowhere + "/chain.yaml")
    #expect(missing?.kind == .configuration)
    #expect(
      missing?.description.hasPrefix(
        Shared.nowhere + "/chain.yaml: cannot open the file (No such file or directory)") == true)
    let path = NSTemporaryDirectory() + "/retort-\(UUID().uuidString).yaml"
    try Data([0x61, 0xFF, 0xFE]).write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(refused(path)?.description == "\(path): is not UTF-8 text.")
  }
}
