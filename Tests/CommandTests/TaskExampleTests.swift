import Testing

/// The chains of docs/examples for entities, scores, emotions and sentence embeddings: planned unchanged, run in
/// miniature.
@Suite struct TaskExampleTests {
  /// A base of six layers and a few rows in the layout of each data set.
  private func made() throws -> (command: Command, environment: [String: String]) {
    let command = try Command()
    try command.makeEmbedder("minilm", layers: 6, hidden: 24)
    try command.makeSentences()
    func text(_ row: Int) -> String { (0..<3 + row % 5).map { "w\((row * 7 + $0 * 3) % 35)" }.joined(separator: " ") }
    for split in ["train", "devel"] {
      let sentences = (0..<24).map { row in
        text(row).split(separator: " ").enumerated().map { "\($1)\t\(["B-Disease", "I-Disease", "O"][min($0, 2)])\n" }
      }
      try command.write("ncbi/\(split).tsv", sentences.map { $0.joined() + "\n" }.joined())
    }
    for split in ["train", "dev"] {
      try command.write(
        "stsb/\(split).tsv",
        (0..<24).map { "main-news\tMSRpar\t2012\t\($0)\t\(Double($0 % 6))\t\(text($0))\t\(text($0 + 1))\n" }.joined())
      try command.write(
        "emotions/\(split).tsv",
        (0..<56).map { "\(text($0))\t\($0 % 3 == 0 ? "\($0 % 27),27" : "\($0 % 28)")\tid\($0)\n" }.joined())
    }
    return (
      command,
      [
        "MINILM": command.path("minilm"), "NCBI": command.path("ncbi"), "STSB": command.path("stsb"),
        "EMOTIONS": command.path("emotions"), "SENTENCES": command.path("sentences.jsonl"), "OUT": command.path("out"),
      ]
    )
  }

  @Test(
    .timeLimit(.minutes(6)),
    arguments: [
      ("entities-ncbi", "entity_f1", "direct_2"), ("scores-stsb", "spearman", "direct_2"),
      ("emotions-goemotions", "micro_f1", "direct_2"), ("sentence-embeddings", "spearman", "distilled_3"),
    ])
  func `an example of a task is planned as it is and run in miniature`(
    name: String, metric: String, last: String
  ) throws {
    let (command, environment) = try made()
    let example = Command.root + "/docs/examples/\(name).yaml"
    let plan = try command.succeed(
      "plan", example, "--cluster", Command.root + "/cluster-configs/laptop.yaml", environment: environment)
    #expect(plan.output.contains("recommended: "), "\(plan.said)")
    try command.succeed(
      ["run", example]
        + ["metadata.max_length=32", "defaults.max_steps=2", "steps.*.allow_untrained_teacher=true"]
        .flatMap { ["--set", $0] }, environment: environment)
    #expect(try command.stepJSON("out/\(last)")["results"]?["metric"]?.string == metric)
  }
}
