import Foundation
import Testing

extension WholeChainTests {
  /// The figures of a run do not depend on how its work is divided.
  @Suite struct RankEqualityTests {
    private let dropout =
      ["run", "toy/toy.yaml"] + setting("steps.0.hyperparams.dropout=0.1", "steps.1.hyperparams.dropout=0.1")

    private func steps(_ command: Command) throws -> [Figures] {
      try command.metrics("toy/out/first") + command.metrics("toy/out/second")
    }

    @Test(.timeLimit(.minutes(8)))
    func `losses are the same on 1 to 4 ranks with 1, 2 and 4 micro-batches, dropout included`() throws {
      let command = try Command()
      try command.makeToy(steps: 12, train: 200, validation: 60, threads: nil)
      var expected: [Figures] = []
      for ranks in 1...4 {
        for accumulation in [1, 2, 4] {
          try command.remove("toy/out")
          try command.succeed(
            dropout + setting("steps.*.hyperparams.gradient_accumulation_steps=\(accumulation)"), ranks: ranks)
          let found = try steps(command)
          if expected.isEmpty { expected = found }
          #expect(found.count == 24)
          expectSame(expected, found, within: 1e-4, "\(ranks) ranks, accumulation \(accumulation)")
        }
      }
    }

    @Test(.timeLimit(.minutes(8)))
    func `a committed chain is kept, and a changed one is trained from the change on`() throws {
      let command = try Command()
      try command.makeToy(steps: 12, train: 200, validation: 60, threads: nil)
      let values = dropout + setting("steps.*.hyperparams.gradient_accumulation_steps=4")
      try command.succeed(values, ranks: 4)
      let weights = command.path("toy/out/first/model.safetensors")
      func written() throws -> [AnyHashable] {
        let found = try FileManager.default.attributesOfItem(atPath: weights)
        return [found[.modificationDate] as? Date, found[.systemFileNumber] as? Int]
      }
      let before = try written()
      func kept(_ arguments: [String]) throws -> Int {
        try command.succeed(arguments, ranks: 2).said.components(separatedBy: "is committed already").count - 1
      }
      #expect(try kept(values) == 2)
      #expect(try kept(values + setting("steps.1.hyperparams.temperature=4")) == 1)
      #expect(try written() == before)
    }

    @Test(.timeLimit(.minutes(8)))
    func `a killed run continues from its checkpoint on another number of ranks as if it had not stopped`() throws {
      let command = try Command()
      try command.makeToy(steps: 12, train: 200, validation: 60, threads: nil)
      let saving = dropout + setting("steps.0.hyperparams.max_steps=300", "steps.0.hyperparams.save_steps=20")
      let running = try command.start(saving, ranks: 2)
      // The checkpoint of step 20 is complete when later steps are recorded.
      try running.awaitSteps(25, of: "toy/out/first", in: command)
      #expect(running.signal(SIGKILL), "the run ended before it could be killed")
      #expect(running.wait().code != 0)
      let continued = try command.succeed(saving, ranks: 3).said
      #expect(continued.contains("resuming after step"), "\(continued)")
      let found = try command.metrics("toy/out/first")
      try command.remove("toy/out")
      try command.succeed(saving)
      let whole = try command.metrics("toy/out/first")
      #expect(whole.count == 300 && found.map(\.step) == whole.map(\.step))
      for (this, that) in zip(whole, found) {
        let isNear = abs(that["loss"] - this["loss"]) <= 1e-3 * max(this["loss"], 0.05)
        #expect(isNear, "step \(this.step): \(that["loss"]), uninterrupted \(this["loss"])")
      }
    }
  }
}
