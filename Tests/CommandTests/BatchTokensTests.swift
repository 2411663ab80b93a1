import Foundation
import Testing

extension WholeChainTests {
  /// Batches by tokens.
  @Suite struct BatchTokensTests {
    private let run =
      ["run", "toy/toy.yaml"]
      + setting(
        "steps.*.hyperparams.batch_tokens=300", "steps.*.hyperparams.max_steps=null",
        "steps.0.hyperparams.num_train_epochs=4", "steps.1.hyperparams.num_train_epochs=1.5",
        "steps.*.hyperparams.dropout=0.1")

    private func toy() throws -> Command {
      let command = try Command()
      try command.makeToy(steps: 12, train: 200, validation: 60, threads: nil)
      return command
    }

    @Test(.timeLimit(.minutes(6)))
    func `batches stay within the limit, have every example once an epoch, and are the same on 1 to 3 ranks`() throws {
      let command = try toy()
      var expected: [String: [Figures]] = [:]
      for ranks in 1...3 {
        try command.remove("toy/out")
        try command.succeed(run, ranks: ranks)
        for step in ["first", "second"] {
          let found = try command.metrics("toy/out/\(step)")
          let alone = expected[step] ?? found
          expected[step] = alone
          expectSame(alone, found, within: 1e-4, "\(step) on \(ranks) ranks")
        }
      }
      let first = try #require(expected["first"])
      let second = try #require(expected["second"])
      #expect(first.allSatisfy { $0["tokens"] <= 300 })
      let inEpoch = first.count / 4
      for epoch in 0..<4 {
        let examples = first[epoch * inEpoch..<(epoch + 1) * inEpoch].reduce(0) { $0 + $1["examples"] }
        #expect(examples == 200, "epoch \(epoch)")
      }
      #expect(second.count == (3 * inEpoch + 1) / 2)
      let plan = try command.succeed(run + ["--dry-run"]).output
      #expect(plan.contains("batch     at most 300 tokens, \(first.count) optimizer steps"), "\(plan)")
    }

    @Test(.timeLimit(.minutes(6)), arguments: [
      ("steps.0.hyperparams.batch_size=8", "100", "batch_tokens: is given together with batch_size"),
      ("metadata.seed=3", "5", "is 5, but the longest training example has"),
    ]) func `a limit of tokens that cannot hold is refused`(other: String, tokens: String, said: String) throws {
      try toy().expectRefusal(
        2, said, ranks: 2, "run", "toy/toy.yaml", "--set", other, "--set",
        "steps.0.hyperparams.batch_tokens=\(tokens)")
    }

    @Test(.timeLimit(.minutes(6)))
    func `a run that is stopped within an epoch continues with figures of the same characters`() throws {
      let command = try toy()
      let long = run + setting("steps.0.hyperparams.num_train_epochs=30")
      try command.succeed(long)
      let whole = try command.metrics("toy/out/first")
      let inEpoch = whole.count / 30
      try command.remove("toy/out")
      let running = try command.start(long)
      try running.awaitSteps(inEpoch + 4, of: "toy/out/first", in: command)
      running.signal(SIGTERM)
      let stopped = running.wait()
      #expect(stopped.code == 75, "\(stopped.said)")
      let last = try #require(try command.metrics("toy/out/first").last).step
      let continued = try command.succeed(long)
      #expect(continued.said.contains("resuming after step \(last) of"), "\(continued.said)")
      let found = try command.metrics("toy/out/first")
      expectSame(whole, found, within: 0, "stopped after step \(last)")
      for key in ["tokens", "examples"] { #expect(whole.map { $0[key] } == found.map { $0[key] }) }
    }
  }
}
