import Foundation
import Platform
import Testing

/// Steps whose loss or gradient is not finite: a student whose weights have a huge value in the row of one word, which
/// overflows in every batch with that word.
@Suite(.serialized) struct NumericalFaultTests {
  /// A chain of one step, `chain.yaml`, whose training data has the word in these rows; outputs go to `out`.
  private func chain(badRows: [Int], _ hyperparams: String) throws -> Command {
    let command = try Command()
    try command.makeToy(steps: 1)
    // Any model of the vocabulary; its weights are those of the first step.
    let made = try command.run("run", "toy/toy.yaml")
    guard made.code == 0 else { throw Command.ToyFailure(said: made.said) }
    try FileManager.default.moveItem(atPath: command.path("toy/out/first"), toPath: command.path("base"))
    try FileManager.default.removeItem(atPath: command.path("base/training"))
    let texts = try command.read("toy/data/train.tsv") + command.read("toy/data/validation.tsv")
    let vocabulary = try command.read("base/vocab.txt").split(separator: "\n")
    let id = try #require(
      vocabulary.firstIndex { $0.count > 3 && $0.allSatisfy(\.isLowercase) && !texts.lowercased().contains($0) })
    var rows = try command.read("toy/data/train.tsv").split(separator: "\n").map(String.init)
    for row in badRows { rows[row + 1] = "\(vocabulary[id]) \(rows[row + 1])" }
    try command.write("toy/data/train.tsv", rows.joined(separator: "\n") + "\n")
    try overwrite(row: id, of: "bert.embeddings.word_embeddings.weight", in: command.path("base/model.safetensors"))
    try command.write(
      "chain.yaml",
      """
      distillation_chain:
        metadata:
          dataset: toy/data
          task: {kind: classification, text: sentence, label: label, labels: [negative, positive]}
          max_length: 64
          seed: 3
        parallel: {threads_per_rank: 1}
        steps:
          - step_id: only
            teacher: null
            student_base: base
            output_dir: out
            hyperparams: {batch_size: 8, precision: fp32, evaluation_strategy: steps, eval_steps: 100, \(hyperparams)}

      """)
    return command
  }

  /// Sets a row of a tensor to the largest float.
  private func overwrite(row: Int, of tensor: String, in path: String) throws {
    var data = try Data(contentsOf: URL(fileURLWithPath: path))
    let length = data.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
    let header = try JSON(parsing: String(decoding: data[8..<8 + length], as: UTF8.self))
    let entry = try #require(header[tensor])
    let columns = try #require(entry["shape"]?.array?.last?.int)
    let start = try 8 + length + #require(entry["data_offsets"]?.array?.first?.int) + 4 * row * columns
    let huge = withUnsafeBytes(of: Float.greatestFiniteMagnitude) { Data($0) }
    for column in 0..<columns { data.replaceSubrange(start + 4 * column..<start + 4 * column + 4, with: huge) }
    try data.write(to: URL(fileURLWithPath: path))
  }

  private func events(_ name: String, _ command: Command) throws -> [JSON] {
    try command.read("out/training/metrics.jsonl").split(separator: "\n").map { try JSON(parsing: String($0)) }
      .filter { $0["event"]?.string == name }
  }

  private func count(_ text: String, in said: String) -> Int { said.components(separatedBy: text).count - 1 }

  @Test(
    arguments: [
      (0, "optimizer", "fp32"), (2, "none", "fp32"), (2, "gradients", "bf16"), (3, "parameters", "fp32"),
    ])
  func `a batch that overflows is skipped, counted and warned of once`(ranks: Int, sharding: String, precision: String)
    throws
  {
    let command = try chain(badRows: [20], "max_steps: 20")
    let result = try command.run(
      ["run", "chain.yaml", "--precision", precision, "--set", "parallel.student.sharding=\(sharding)"], ranks: ranks)
    #expect(result.code == 0, "\(result.said)")
    // One batch of each epoch of 8 steps, whatever the ranks.
    let skipped = try events("skipped_step", command)
    #expect((2...3).contains(skipped.count), "\(skipped)")
    #expect(skipped.allSatisfy { $0["terms"] == ["cross_entropy"] && $0["loss"]?.string == "nan" }, "\(skipped)")
    let steps = skipped.compactMap { $0["step"]?.int }
    #expect(try command.metrics("out").map(\.step) == (1...20).filter { !steps.contains($0) })
    #expect(try command.metrics("out").allSatisfy { $0["loss"].isFinite })
    #expect(try command.stepJSON("out")["results"]?["left_out_steps"] == .array(steps.map(JSON.int)))
    #expect(count("is skipped: the loss is nan (cross_entropy)", in: result.said) == 1, "\(result.said)")
    #expect(count("took no update", in: result.said) == 1, "\(result.said)")
  }

  @Test(arguments: [0, 2]) func `training goes back once and leaves the batch out, and a killed run does the same`(
    ranks: Int
  ) throws {
    let command = try chain(badRows: [20], "max_steps: 8, max_skipped_steps: 0, save_steps: 1, save_total_limit: null")
    let whole = try command.run(["run", "chain.yaml"], ranks: ranks)
    #expect(whole.code == 0, "\(whole.said)")
    let back = try #require(try events("returned", command).first)
    let (from, to) = try (#require(back["from"]?.int), #require(back["step"]?.int))
    // The update before the batch may be at fault too.
    #expect(to == from - 2 && back["left_out"] == [.int(from - 1), .int(from)], "\(back)")
    #expect(count("goes back from step \(from)", in: whole.said) == 1, "\(whole.said)")
    let weights = try Data(contentsOf: URL(fileURLWithPath: command.path("out/model.safetensors")))
    let (figures, lines) = (try command.metrics("out"), try events("returned", command).count)
    #expect(figures.map(\.step) == (1...8).filter { $0 != from && $0 != from - 1 } && lines == 1)
    try FileManager.default.removeItem(atPath: command.path("out"))
    let running = try command.start(["run", "chain.yaml"], ranks: max(1, ranks))
    try? running.awaitSteps(from - 1, of: "out", in: command)
    running.signal(SIGKILL)
    _ = running.wait()
    let resumed = try command.run(["run", "chain.yaml"], ranks: ranks)
    #expect(resumed.code == 0, "\(resumed.said)")
    #expect(try Data(contentsOf: URL(fileURLWithPath: command.path("out/model.safetensors"))) == weights)
    expectSame(figures, try command.metrics("out"), within: 0, "resumed")
  }

  @Test(arguments: [0, 2]) func `the second time, and without a checkpoint, training ends with exit code 5`(
    ranks: Int
  ) throws {
    // The batch is met again in the second epoch.
    let command = try chain(badRows: [20], "max_steps: 16, max_skipped_steps: 0, save_steps: 2")
    let result = try command.run(["run", "chain.yaml"], ranks: ranks)
    #expect(result.code == 5 && count("after a return to a checkpoint", in: result.said) == 1, "\(result.said)")
    #expect(result.said.contains("max_skipped_steps (0)"), "\(result.said)")
    // Run again, it does not go back again; with more patience it goes on from there.
    let again = try command.run(["run", "chain.yaml"], ranks: ranks)
    #expect(again.code == 5 && !again.said.contains("goes back"), "\(again.said)")
    let patient = try command.run(
      ["run", "chain.yaml", "--set", "steps.0.hyperparams.max_skipped_steps=1"], ranks: ranks)
    #expect(patient.code == 0 && patient.said.contains("resuming after step"), "\(patient.said)")
    let early = try command.run(
      ["run", "chain.yaml", "--set", "steps.0.hyperparams.save_steps=100", "--set", "steps.0.output_dir=other"],
      ranks: ranks)
    #expect(early.code == 5 && count("has no checkpoint to go back to", in: early.said) == 1, "\(early.said)")
  }

  @Test func `weights that explode go back before the update and end with exit code 5`() throws {
    let command = try chain(
      badRows: [], "max_steps: 40, learning_rate: 1000, schedule: constant, optimizer: {weight_decay: 100}, save_steps: 1")
    let result = try command.run("run", "chain.yaml")
    #expect(result.code == 5, "\(result.said)")
    #expect(count("is skipped", in: result.said) == 1 && count("goes back from", in: result.said) == 1, "\(result.said)")
    #expect(result.errors.contains("in 4 steps in a row, after a return"), "\(result.said)")
  }
}
