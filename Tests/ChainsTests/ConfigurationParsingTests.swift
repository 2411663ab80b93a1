import Collectives
import Foundation
import Objectives
import Platform
import Testing
import Training

@testable import Chains

extension Hyperparameters {
  /// The weights and the temperature of the short form.
  var plain: (ce: Double, kd: Double, temperature: Double) {
    DistillationObjective(objectives.terms).plain ?? (.nan, .nan, .nan)
  }
}

/// The template that users already have, word for word.
let template = """
  distillation_chain:
    metadata: {dataset: "nyu-mll/glue", task: "sst2", max_length: 128}
    steps:
      - step_id: "large_to_mini"
        teacher: "assemblyai/bert-large-uncased-sst2"
        student_base: "google/bert_uncased_L-4_H-256_A-4"
        output_dir: "./artifacts/step1_mini"
        hyperparams: {learning_rate: 1e-4, num_train_epochs: 5, batch_size: 32, alpha: 0.5, temperature: 2.0}
  """

/// A chain of one step with more lines of hyperparameters, which start at line 7.
func oneStep(_ lines: String...) -> String {
  """
  distillation_chain:
    metadata: {dataset: data}
    steps:
      - student_base: base
        output_dir: out
        hyperparams:

  """ + lines.map { "        \($0)" }.joined(separator: "\n")
}

@Suite("A chain file")
struct ConfigurationParsingTests {
  @Test("the users' template parses to its values, and the rest has its defaults")
  func usersTemplate() throws {
    let chain = try ChainConfiguration(parsing: template, file: "dir/sst2-chain.yaml")
    #expect(chain.metadata.name == "sst2-chain")
    #expect(chain.metadata.dataset == .path("nyu-mll/glue"))
    #expect(chain.metadata.task == TaskConfiguration(name: "sst2"))
    #expect(chain.metadata.maxLength == 128)
    #expect(chain.metadata.seed == 42)
    #expect(chain.parallel == ParallelConfiguration())
    let step = try #require(chain.steps.first)
    #expect(chain.steps.count == 1)
    #expect(step.id == "large_to_mini")
    #expect(step.teacher.references == ["assemblyai/bert-large-uncased-sst2"])
    #expect(step.studentBase == .reference("google/bert_uncased_L-4_H-256_A-4"))
    #expect(step.studentInit == nil)
    #expect(step.outputDirectory == "./artifacts/step1_mini")
    #expect(!step.allowUntrainedTeacher)
    var expected = Hyperparameters()
    expected.trainEpochs = 5
    #expect(step.hyperparameters == expected)
    #expect(step.source.lines["teacher"] == 5)
    #expect(
      step.source.location(of: "hyperparams.batch_size") == "dir/sst2-chain.yaml:8: steps.0.hyperparams.batch_size")
    #expect(step.source.location(of: "hyperparams.dropout") == "dir/sst2-chain.yaml:8: steps.0.hyperparams.dropout")
  }

  @Test("the full form parses to its values")
  func fullForm() throws {
    let chain = try ChainConfiguration(
      parsing: """
        distillation_chain:
          metadata:
            name: demo
            dataset: {train: a.tsv, validation: b.tsv}
            task: {kind: classification, text: sentence, text_pair: null, label: label, labels: [negative, positive]}
            max_length: null
            seed: 18446744073709551615
          defaults: {learning_rate: 3e-4, optimizer: {weight_decay: 0.01, epsilon: 1e-6}}
          parallel: {threads_per_rank: 2, bucket_megabytes: 12.5, teacher: {placement: resident, cache: no, cache_limit: 1.5 GiB}, student: {sharding: parameters}, exchange: {gradients: bf16, weights: bf16, node_ranks: 8}, watchdog: {silence: 60, progress: 900, phases: {checkpoint: 3600}}}
          steps:
            - step_id: first
              teacher: null
              student_base: {family: bert, num_hidden_layers: 2, layer_norm_eps: 1e-12, tied: true, hint: "1"}
              output_dir: out/first
            - step_id: second
              student_base: first
              output_dir: out/second
            - step_id: third
              teacher: [first, org/name]
              student_base: second
              output_dir: out/third
            - step_id: fourth
              teacher: first
              student_base: {family: bert, num_hidden_layers: 3}
              student_init: {from: teacher, layers: [0, 2, 4]}
              output_dir: out/fourth
              allow_untrained_teacher: true
              hyperparams:
                learning_rate: 1e-3
                max_steps: 100
                batch_size: 64
                gradient_accumulation_steps: 4
                ce_weight: 0.25
                kd_weight: 1.5
                temperature: 4
                objective: {kind: forward_kl}
                optimizer: {betas: [0.8, 0.95], max_grad_norm: null}
                schedule: cosine
                warmup_ratio: 0.1
                shuffle: false
                group_by_length: no
                dropout: 0
                precision: bf16
                activation_checkpointing: true
                evaluation_strategy: steps
                eval_steps: 20
                metric: accuracy
                early_stopping_patience: 3
                save_steps: 10
                save_total_limit: null
                max_skipped_steps: 7
                logging_steps: 5
        """)
    #expect(chain.metadata.name == "demo")
    #expect(chain.metadata.dataset == .files(train: ["a.tsv"], validation: ["b.tsv"]))
    #expect(
      chain.metadata.task
        == TaskConfiguration(text: "sentence", label: "label", labels: ["negative", "positive"]))
    #expect(chain.metadata.maxLength == nil)
    #expect(chain.metadata.seed == .max)
    #expect(chain.parallel.threadsPerRank == 2)
    #expect(chain.parallel.bucketMegabytes == 12.5)
    #expect(
      chain.parallel.teacherPlacement.placement == .resident && chain.parallel.teacherPlacement.payload == .logits)
    #expect(chain.parallel.studentSharding == .parameters)
    #expect(chain.parallel.exchange == ExchangeOptions(gradients: .bf16, weights: .bf16, nodeRanks: 8))
    #expect(chain.parallel.watchdog == WatchdogLimits(silence: 60, progress: 900, phases: ["checkpoint": 3600]))
    #expect(!chain.parallel.teacherPlacement.isCached && chain.parallel.teacherPlacement.cacheLimit == 3 << 29)
    #expect(Array(chain.steps.map(\.teacher).prefix(2)) == [.none, .previous])
    #expect(chain.steps.map(\.teacher.references) == [[], [], ["first", "org/name"], ["first"]])
    #expect(
      chain.steps[0].studentBase
        == .configuration(
          ["family": "bert", "num_hidden_layers": 2, "layer_norm_eps": 1e-12, "tied": true, "hint": "1"]))
    #expect(chain.steps[3].studentInit == StudentInitialization(layers: .init(source: .teacher, indices: [0, 2, 4])))
    #expect(chain.steps[3].allowUntrainedTeacher)
    #expect(chain.steps[0].hyperparameters.learningRate == 3e-4)
    var expected = Hyperparameters()
    expected.learningRate = 1e-3
    expected.maxSteps = 100
    expected.batchSize = 64
    expected.gradientAccumulationSteps = 4
    expected.objectives = .short(
      ce: 0.25, kd: 1.5, ObjectiveTerm(ObjectiveRegistry.forwardKL, ["temperature": .schedule(Scheduled(4))]))
    (expected.optimizer.beta1, expected.optimizer.beta2) = (0.8, 0.95)
    (expected.optimizer.weightDecay, expected.optimizer.epsilon) = (0.01, 1e-6)
    expected.optimizer.maxGradientNorm = nil
    expected.schedule = .cosine
    expected.warmup = .ratio(0.1)
    (expected.shuffle, expected.groupByLength, expected.dropout) = (false, false, 0)
    expected.precision = .bf16
    expected.activationCheckpointing = true
    expected.evaluation = .steps(20)
    expected.metric = .accuracy
    (expected.earlyStoppingPatience, expected.saveSteps) = (3, 10)
    (expected.saveTotalLimit, expected.loggingSteps, expected.maxSkippedSteps) = (nil, 5, 7)
    #expect(chain.steps[3].hyperparameters == expected)
  }

  @Test("a byte-order mark and Windows line ends change nothing")
  func lineEnds() throws {
    let plain = try ChainConfiguration(parsing: template)
    #expect(try ChainConfiguration(parsing: "\u{FEFF}" + template).digestText == plain.digestText)
    let windows = try ChainConfiguration(parsing: template.replacingOccurrences(of: "\n", with: "\r\n"))
    #expect(windows == plain)
  }

  @Test("a chain file in JSON is a chain file")
  func json() throws {
    let chain = try ChainConfiguration(
      parsing: #"{"distillation_chain":{"metadata":{"dataset":{"train":"/a b.jsonl","validation":"/c.jsonl"}},"#
        + #""steps": [{"student_base": "s", "output_dir": "o", "hyperparams": {"learning_rate": 0.0001}}]}}"#)
    #expect(chain.metadata.dataset == .files(train: ["/a b.jsonl"], validation: ["/c.jsonl"]))
    #expect(chain.steps[0].id == "step_1")
    #expect(chain.steps[0].teacher == .none)
    #expect(chain.steps[0].hyperparameters == Hyperparameters())
  }

  @Test(
    "numbers are numbers in every spelling, quoted or not",
    arguments: [
      ("1e-4", 1e-4), ("1E-4", 1e-4), ("'1e-4'", 1e-4), ("\"0.5\"", 0.5), ("3.", 3), (".5", 0.5), ("+1", 1),
      ("1_000", 1000),
      ("2.5e+1", 25), ("5", 5), ("1.e-2", 0.01),
    ])
  func numbers(text: String, value: Double) throws {
    #expect(
      try ChainConfiguration(parsing: oneStep("learning_rate: \(text)")).steps[0].hyperparameters.learningRate == value)
  }

  @Test(
    "whole numbers may be written with a fraction of zero or quoted", arguments: ["32.0", "32", "'32'", "3.2e1", "+32"])
  func wholeNumbers(text: String) throws {
    #expect(try ChainConfiguration(parsing: oneStep("batch_size: \(text)")).steps[0].hyperparameters.batchSize == 32)
  }

  @Test(
    "texts that look like numbers but are none are not read as numbers",
    arguments: ["", "-", ".", "e5", "1e", "1__0", "_1", "1_", "0x1F", "1,5", "1 0"])
  func notNumbers(text: String) { #expect(NumberText.double(text) == nil) }

  @Test("alpha is the weight of the task loss, and the rest is the distillation loss")
  func alpha() throws {
    func weights(_ lines: String...) throws -> [Double] {
      let values = try ChainConfiguration(parsing: oneStep(lines.joined(separator: "\n        "))).steps[0]
        .hyperparameters
      return [values.plain.ce, values.plain.kd]
    }
    #expect(try weights("alpha: 0.25") == [0.25, 0.75])
    #expect(try weights("ce_weight: 0.25") == [0.25, 0.75])
    #expect(try weights("kd_weight: 0.25") == [0.75, 0.25])
    #expect(try weights("ce_weight: 0.25", "kd_weight: 2") == [0.25, 2])
    #expect(try weights("temperature: 1") == [0.5, 0.5])
    let alone = Hyperparameters().objectives.objective([], .logits)
    #expect(alone.plain?.ce == 1 && alone.plain?.kd == 0)
  }

  @Test("a step's own values win over the defaults, key by key")
  func defaults() throws {
    let chain = try ChainConfiguration(
      parsing: """
        distillation_chain:
          metadata: {dataset: data}
          defaults:
            alpha: 0.1
            warmup_steps: 7
            max_steps: 9
            evaluation_strategy: steps
            eval_steps: 3
            optimizer: {weight_decay: 0.5, max_grad_norm: 2}
          steps:
            - {student_base: a, output_dir: a}
            - {student_base: a, output_dir: b, hyperparams: {kd_weight: 1.0, warmup_ratio: 0.5, num_train_epochs: 2}}
            - {student_base: a, output_dir: c, hyperparams: {eval_steps: 4, optimizer: {max_grad_norm: null}}}
            - {student_base: a, output_dir: d, hyperparams: {evaluation_strategy: epoch}}
        """)
    let values = chain.steps.map(\.hyperparameters)
    #expect(values.map(\.plain.ce) == [0.1, 0, 0.1, 0.1])
    #expect(values.map(\.warmup) == [.steps(7), .ratio(0.5), .steps(7), .steps(7)])
    #expect(values.map(\.maxSteps) == [9, nil, 9, 9])
    #expect(values.map(\.evaluation) == [.steps(3), .steps(3), .steps(4), .epoch])
    #expect(values.map(\.optimizer.weightDecay) == [0.5, 0.5, 0.5, 0.5])
    #expect(values.map(\.optimizer.maxGradientNorm) == [2, 2, nil, 2])
  }

  @Test("a batch counts examples or tokens, and a step's own way displaces that of the defaults")
  func batches() throws {
    func sizes(_ defaults: String) throws -> [Hyperparameters.BatchSize] {
      try ChainConfiguration(
        parsing: """
          distillation_chain:
            metadata: {dataset: data}
            defaults: {\(defaults)}
            steps:
              - {student_base: a, output_dir: a}
              - {student_base: a, output_dir: b, hyperparams: {batch_size: 16}}
              - {student_base: a, output_dir: c, hyperparams: {batch_tokens: 2_048, batch_size: null}}
              - {student_base: a, output_dir: d, hyperparams: {batch_tokens: null}}
          """
      ).steps.map(\.hyperparameters.batchSize)
    }
    #expect(try sizes("batch_size: 64") == [64, 16, .tokens(2_048), 64])
    #expect(try sizes("batch_tokens: 512") == [.tokens(512), 16, .tokens(2_048), 32])
    #expect(try sizes("shuffle: true") == [32, 16, .tokens(2_048), 32])
  }

  @Test("anchors, aliases and merge keys work, and a key written beside a merge wins")
  func anchors() throws {
    let chain = try ChainConfiguration(
      parsing: """
        x-common: &common {learning_rate: 0.5, batch_size: 8}
        x-more: &more {batch_size: 9, temperature: 3}
        distillation_chain:
          metadata: {dataset: &place data, name: *place}
          steps:
            - {student_base: a, output_dir: b, hyperparams: {<<: [*common, *more], learning_rate: 0.25}}
            - {student_base: a, output_dir: c, hyperparams: *common}
        """)
    #expect(chain.metadata.name == "data")
    let values = chain.steps.map(\.hyperparameters)
    #expect(values.map(\.learningRate) == [0.25, 0.5])
    #expect(values.map(\.batchSize) == [8, 8])
    #expect(values.map(\.plain.temperature) == [3, 2])
  }

  @Test("the kind of a task follows from its columns, and label names are texts whatever YAML thinks of them")
  func tasks() throws {
    func task(_ text: String) throws -> TaskConfiguration {
      let yaml =
        "distillation_chain: {metadata: {dataset: d, task: \(text)}, steps: [{student_base: a, output_dir: b}]}"
      return try ChainConfiguration(parsing: yaml).metadata.task
    }
    #expect(
      try task("{features: [a, b], label: y}") == TaskConfiguration(kind: .features, label: "y", features: ["a", "b"]))
    #expect(
      try task("{kind: language_modeling, text: body}") == TaskConfiguration(kind: .languageModeling, text: "body"))
    #expect(try task("language_modeling") == TaskConfiguration(kind: .languageModeling))
    #expect(
      try task("{kind: language_modeling, prompt: question, documents: paragraph}")
        == TaskConfiguration(kind: .languageModeling, prompt: "question", documents: .paragraph))
    #expect(try task("{kind: language_modeling, documents: \"<end>\"}").documents == .separator("<end>"))
    #expect(try task("{labels: [no, yes, 2]}") == TaskConfiguration(labels: ["no", "yes", "2"]))
    #expect(Hyperparameters().metric(for: .languageModeling, labels: []) == .perplexity)
    #expect(Hyperparameters().metric(for: .features, labels: ["a", "b"]) == .accuracy)
  }

  @Test("warm-up as a ratio is rounded up to whole steps")
  func warmup() {
    #expect(Hyperparameters.Warmup.ratio(0.1).steps(of: 101) == 11)
    #expect(Hyperparameters.Warmup.steps(5).steps(of: 100) == 5)
  }

  @Test("the digest text depends on every value and on nothing else")
  func digest() throws {
    let chain = try ChainConfiguration(parsing: template, file: "a.yaml")
    let moved = try ChainConfiguration(
      parsing: "# a comment\n" + template.replacingOccurrences(of: "1e-4", with: "0.0001"), file: "x/a.yaml")
    #expect(chain.digestText == moved.digestText)
    let other = try ChainConfiguration(parsing: template, file: "a.yaml", overrides: ["metadata.seed=7"])
    #expect(chain.digestText != other.digestText)
    #expect(chain.resolved["steps"]?.array?[0]["hyperparams"]?["optimizer"]?["betas"] == [0.9, 0.999])
  }

  @Test("the same mix and temperature in all steps of a chain of three is worth a warning with the figures")
  func advice() throws {
    func chain(_ temperatures: [Double]) throws -> ChainConfiguration {
      let steps = temperatures.enumerated().map {
        "    - {student_base: a, teacher: t, output_dir: o\($0), hyperparams: {alpha: 0.3, temperature: \($1)}}"
      }
      let head = "distillation_chain:\n  metadata: {dataset: d}\n  steps:\n"
      return try ChainConfiguration(parsing: head + steps.joined(separator: "\n"))
    }
    let advice = try chain([4, 4, 4]).advice()
    #expect(advice.count == 1)
    #expect(advice.first?.contains("alpha 0.3") == true)
    #expect(advice.first?.contains("temperature 4.0") == true)
    #expect(try chain([4, 4]).advice().isEmpty)
    #expect(try chain([4, 4, 2]).advice().isEmpty)
  }

  @Test(
    "a size is a number of bytes with or without a unit",
    arguments: [
      ("2GB", 2_000_000_000), ("500 MB", 500_000_000), ("1KiB", 1024), ("0", 0), ("4096", 4096), ("1e3 b", 1000),
      ("0.5tb", 500_000_000_000), ("GB", nil), ("-1MB", nil), ("2 G", nil), ("many", nil), ("1e30GB", nil),
    ])
  func sizes(text: String, bytes: Int?) { #expect(NumberText.bytes(text) == bytes) }

  @Test func `the watchdog's limit is a number of seconds, or each limit by its name`() throws {
    func limits(_ value: String) throws -> WatchdogLimits {
      try ChainConfiguration(
        parsing: """
          distillation_chain:
            metadata: {dataset: d}
            parallel: {watchdog: \(value)}
            steps: [{student_base: m, output_dir: out}]
          """
      ).parallel.watchdog
    }
    #expect(try limits("null") == WatchdogLimits(silence: 120, progress: 600))
    #expect(try limits("300") == WatchdogLimits(silence: 300, progress: 1500))
    #expect(try limits("0").silence == 0)
    #expect(try limits("{progress: 50}") == WatchdogLimits(silence: 120, progress: 50))
    #expect(
      try limits("{silence: 30, phases: {step: 60}}")
        == WatchdogLimits(silence: 30, progress: 150, phases: ["step": 60]))
    let error = #expect(throws: RetortError.self) { try limits("{phases: {stpe: 60}}") }
    #expect(error?.description.contains("step") == true, "\(error?.description ?? "")")
  }
}
