import Platform
import Testing

extension WholeChainTests {
  /// `step.json` has the time until the first optimizer step. The limit is generous, for busy machines: with cached
  /// tokens it is 0.2 seconds on an idle one.
  @Suite struct StartTimeTests {
    @Test(.timeLimit(.minutes(8)), arguments: [1, 2])
    func `the first optimizer step begins within seconds, with tokens from the cache or without`(ranks: Int) throws {
      let command = try Command()
      try command.makeToy(steps: 12, train: 200, validation: 60, threads: nil)
      for state in ["cold", "warm"] {
        try command.remove("toy/out")
        try command.succeed("run", "toy/toy.yaml", ranks: ranks)
        for step in ["first", "second"] {
          let seconds = try seconds(command, step)
          #expect(seconds > 0 && seconds < 10, "\(step), \(state)")
        }
      }
    }

    @Test(.timeLimit(.minutes(6)))
    func `the time counts from the start of the process, whatever program it was before`() throws {
      let command = try Command()
      try command.makeToy(steps: 12, train: 200, validation: 60, threads: nil)
      let result = try command.shell("sleep 1.5; exec \"$RETORT\" run toy/toy.yaml")
      #expect(result.code == 0, "\(result.said)")
      let seconds = try seconds(command, "first")
      #expect(seconds > 1.5 && seconds < 11.5)
    }

    private func seconds(_ command: Command, _ step: String) throws -> Double {
      try command.stepJSON("toy/out/\(step)").number("results", "start_seconds")
    }
  }
}
