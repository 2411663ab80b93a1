import Foundation
import Platform
import Testing

extension WholeChainTests {
  /// Every placement of a teacher, for a classifier and a language model, gives the losses of the resident teacher; what
  /// is printed and stored of it is true.
  @Suite struct PlacementTests {
    enum Family: String, CaseIterable {
      case bert, llama

      /// Heads, inner units and the language model's tokens are divisible by 2, 3 and 4. So are the layers, in the
      /// classifier together with the embeddings, which have as many weights as one layer: all parts have about one size.
      var teacher: String {
        switch self {
        case .bert:
          "num_hidden_layers: 11, hidden_size: 48, num_attention_heads: 12, intermediate_size: 96, max_position_embeddings: 64, initializer_range: 0.3, tokenizer: tokenizer"
        case .llama:
          "vocab_size: 96, num_hidden_layers: 12, hidden_size: 96, num_attention_heads: 24, num_key_value_heads: 12, intermediate_size: 96, max_position_embeddings: 64, initializer_range: 0.3"
        }
      }

      /// Heads, layers and units that are not divisible: uneven parts are accepted.
      var uneven: String {
        switch self {
        case .bert:
          "num_hidden_layers: 5, hidden_size: 32, num_attention_heads: 4, intermediate_size: 70, max_position_embeddings: 64, initializer_range: 0.3, tokenizer: tokenizer"
        case .llama:
          "vocab_size: 97, num_hidden_layers: 5, hidden_size: 32, num_attention_heads: 4, num_key_value_heads: 2, intermediate_size: 70, max_position_embeddings: 64, initializer_range: 0.3"
        }
      }

      var student: String {
        "num_hidden_layers: 1, hidden_size: 32, num_attention_heads: 2, intermediate_size: 64, max_position_embeddings: 64"
          + (self == .llama ? ", num_key_value_heads: 1" : "")
      }

      var task: String {
        switch self {
        case .bert: "{kind: classification, text: sentence, label: label, labels: [negative, positive]}"
        case .llama: "{kind: language_modeling}"
        }
      }

      var batch: Int { self == .bert ? 12 : 6 }
      var classes: Int { self == .bert ? 2 : 96 }
      var row: String { self == .bert ? "an example" : "a predicted token" }
    }

    /// Runs of one family, and the losses of its resident teachers.
    private struct Runs {
      let family: Family
      let command: Command
      private var resident: [String: [Figures]] = [:]

      init(_ family: Family) throws {
        self.family = family
        command = try Command()
        if family == .bert {
          try command.succeed("demo", command.path("."), "--overwrite", "--train", "300", "--validation", "40")
        } else {
          for (split, rows) in [("train", 90), ("validation", 12)] {
            try command.write("data/\(split).jsonl", Numbers.documents(rows, seed: rows))
          }
        }
        // Large random weights: signals that differ between examples and are far from a new student's, without training.
        let untrained = "batch_size: 8, max_steps: 1, learning_rate: 0"
        let twenty =
          "batch_size: \(family.batch), max_steps: 20, learning_rate: 1e-3, gradient_accumulation_steps: 2, evaluation_strategy: steps, eval_steps: 10, logging_steps: 1"
        for (teacher, sizes) in [("teacher", family.teacher), ("uneven", family.uneven)] {
          try chain(teacher, student: sizes, teacher: "null", untrained)
          try chain("of-\(teacher)", student: family.student, teacher: teacher, twenty)
          try train(teacher, ranks: 2)
          try train("of-\(teacher)", ranks: 1)
          resident["of-\(teacher)"] = try command.metrics("of-\(teacher)")
        }
      }

      private func chain(_ name: String, student: String, teacher: String, _ values: String) throws {
        try command.write(
          "\(name).yaml",
          """
          distillation_chain:
            metadata: {dataset: data, task: \(family.task), max_length: 64, seed: 3}
            steps:
              - step_id: \(name)
                teacher: \(teacher)
                allow_untrained_teacher: true
                student_base: {family: \(family.rawValue), \(student)}
                output_dir: \(command.path(name))
                hyperparams: {precision: fp32, \(values)}

          """)
      }

      /// Trains anew, and returns what was said.
      @discardableResult func train(_ name: String, ranks: Int, _ values: String...) throws -> String {
        try command.remove(name)
        return try command.succeed(["run", "\(name).yaml"] + values.flatMap { ["--set", $0] }, ranks: ranks).said
      }

      /// Trains with this `parallel.teacher`, expects the resident teacher's losses, and returns what was said.
      @discardableResult func place(_ teacher: String, ranks: Int, _ name: String = "of-teacher") throws -> String {
        let said = try train(name, ranks: ranks, "parallel.teacher=\(teacher)")
        let found = try command.metrics(name)
        #expect(found.count == 20)
        expectSame(resident[name] ?? [], found, within: 1e-4, floor: 0, "\(family), \(ranks) ranks, \(teacher)")
        return said
      }

      /// Expects that a rank of the previous run held 1/`parts` of the weights, and at most 10 % more.
      func expectShare(_ parts: Int, _ what: String) throws {
        let placement = try #require(try command.stepJSON("of-teacher")["results"]?["teacher_placement"])
        let (held, whole) = (placement.number("weight_bytes_per_rank"), placement.number("weight_bytes"))
        #expect(held > 0 && held * Double(parts) <= 1.1 * whole, "\(what): a rank holds \(held) of \(whole) bytes")
      }

      func expectLines(_ said: String, _ patterns: String...) throws {
        for pattern in patterns {
          let line = try Regex(pattern).anchorsMatchLineEndings()
          #expect(said.firstMatch(of: line) != nil, "no line says \(pattern): \(said)")
        }
      }
    }

    @Test(.timeLimit(.minutes(15)))
    func `every placement of a teacher gives the losses of the resident one`() async throws {
      // The two families run at the same time: most of such a short run is its start.
      try await withThrowingTaskGroup(of: Void.self) { group in
        for family in Family.allCases { group.addTask { try Self.expectSameLosses(family) } }
        try await group.waitForAll()
      }
    }

    private static func expectSameLosses(_ family: Family) throws {
      let runs = try Runs(family)
      let (classes, row) = (family.classes, family.row)
      for ranks in [2, 3, 4] {
        let teaching = ranks - 1
        for sharding in ["tensor", "pipeline"] {
          for payload in ["logits", "hidden"] {
            let sharded = "{placement: sharded, sharding: \(sharding), payload: \(payload)}"
            var said = try runs.place(sharded, ranks: ranks)
            try runs.expectShare(ranks, sharded)
            try runs.expectLines(
              said,
              "teacher sharded: \(ranks) ranks hold it together \\(\(sharding)\\), .* % of .*; payload \(payload), [0-9,]+ bytes \(row); [0-9,]+ bytes a token between its ranks",
              "teacher sharded: [0-9,]+ rows, [0-9,]+ bytes of answers sent \\([0-9.]+ bytes \(row)\\), .*; ranks that train waited [0-9.]+ s at most$")
            // One rank has nothing to divide.
            if ranks == 2, sharding == "pipeline" { continue }
            let dedicated = "{placement: dedicated, ranks: \(teaching), sharding: \(sharding), payload: \(payload)}"
            said = try runs.place(dedicated, ranks: ranks)
            try runs.expectShare(teaching, dedicated)
            try runs.expectLines(
              said, "teacher dedicated: \(teaching) ranks? only teach(es)?",
              "teacher dedicated: .* rows, .*\\([0-9.]+ bytes \(row)\\).*waited [0-9.]+ s at most, those that teach [0-9.]+ s each")
          }
        }
        let payload = ranks == 4 ? "hidden" : "logits"
        if ranks > 2 { try runs.place("{placement: dedicated, payload: \(payload)}", ranks: ranks) }
        try runs.place("{placement: streamed, payload: \(payload)}", ranks: ranks)
        try runs.place("{placement: dedicated, ranks: \(teaching), payload: top_k, top_k: \(classes)}", ranks: ranks)
      }
      try runs.place("{placement: sharded, sharding: pipeline, payload: top_k, top_k: \(classes)}", ranks: 2)
      try runs.place("{placement: sharded, payload: top_k, top_k: \(classes)}", ranks: 3)
      try runs.place("{placement: resident, payload: hidden}", ranks: 2)
      try runs.place("{placement: sharded, ranks: 2, payload: logits}", ranks: 4)
      // Tensor-parallel shards and pipeline stages of different sizes, and more shards than key/value heads.
      try runs.place("{placement: sharded, payload: logits}", ranks: 3, "of-uneven")
      try runs.place("{placement: dedicated, ranks: 3, payload: hidden}", ranks: 4, "of-uneven")
      try runs.place("{placement: sharded, sharding: pipeline, payload: logits}", ranks: 3, "of-uneven")
      if family == .llama {
        let said = try runs.train(
          "of-teacher", ranks: 2, "parallel.teacher={placement: sharded, payload: top_k, top_k: 4}")
        try runs.expectLines(said, "payload top_k 4, 36 bytes a predicted token")
      }
    }
  }
}
