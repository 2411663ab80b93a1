import Foundation
import Platform
import Testing

extension WholeChainTests {
  /// `--trace` writes one complete timeline of all ranks, however the run ends, and changes nothing else.
  @Suite struct TimelineTests {
    private func toy() throws -> Command {
      let command = try Command()
      try command.makeToy(steps: 12, train: 200, validation: 60, threads: nil)
      return command
    }

    /// The events of a timeline with so many ranks, each named once, and so many optimizer steps on each.
    ///
    /// - Parameter steps: nil: at least one.
    @discardableResult private func events(
      _ command: Command, _ name: String, ranks: Int, steps: Int?, at place: SourceLocation = #_sourceLocation
    ) throws -> [JSON] {
      let events = try #require(
        try JSON(contentsOf: command.path(name))["traceEvents"]?.array, "\(name)", sourceLocation: place)
      #expect(Set(events.compactMap { $0["pid"]?.int }) == Set(0..<ranks), "\(name)", sourceLocation: place)
      for rank in 0..<ranks {
        let own = events.filter { $0["pid"] == .int(rank) }
        #expect(own.filter { $0["name"] == "process_name" }.count == 1, "\(name)", sourceLocation: place)
        let count = own.filter { $0["cat"] == "step" }.count
        #expect(steps.map { $0 == count } ?? (count > 0), "\(name), rank \(rank): \(count) steps", sourceLocation: place)
      }
      return events
    }

    private func steps(_ command: Command) throws -> [Figures] {
      try command.metrics("toy/out/first") + command.metrics("toy/out/second")
    }

    @Test(.timeLimit(.minutes(8)))
    func `a timeline of two ranks is complete and leaves the losses as they are`() throws {
      let command = try toy()
      func timelines() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: command.directory.path).filter { $0.hasSuffix(".json") }
      }
      let plain = try command.succeed("run", "toy/toy.yaml", ranks: 2)
      let figures = try steps(command)
      #expect(try timelines().isEmpty)

      // The arithmetic figures: in the line of a step, in metrics.jsonl, and in its record.
      #expect(try /examples\/s, .* GFLOP\/s \(MFU .* %\)/.firstMatch(in: plain.said) != nil, "\(plain.said)")
      #expect(figures.allSatisfy { $0["gflops"] > 0 })
      let utilisation = try command.stepJSON("toy/out/first").number("results", "mfu")
      #expect(utilisation > 0 && utilisation < 1)

      try command.remove("toy/out")
      try command.succeed("run", "toy/toy.yaml", "--dry-run", "--trace", "trace.json", ranks: 2)
      #expect(try timelines().isEmpty)
      let traced = try command.succeed("run", "toy/toy.yaml", "--trace", "trace.json", ranks: 2)
      expectSame(figures, try steps(command), within: 0, "traced")
      #expect(traced.said.contains("timeline of 2 ranks: trace.json"), "\(traced.said)")
      let events = try events(command, "trace.json", ranks: 2, steps: 24)
      let names = Set(events.compactMap { $0["name"]?.string })
      for part in [
        "teacher", "forward", "backward", "layers.1", "optimizer", "evaluation", "best student", "commit", "second",
      ] {
        #expect(names.contains(part), "no \(part)")
      }
      #expect(events.contains { $0["name"] == "sum of gradients" && $0["ph"] == "b" }, "no bucket on its way")

      // A committed chain trains nothing, and its timeline is complete too.
      try command.succeed("run", "toy/toy.yaml", "--trace", "again.json")
      try self.events(command, "again.json", ranks: 1, steps: 0)
    }

    @Test(.timeLimit(.minutes(6)))
    func `a window has the optimizer steps that were requested`() throws {
      let command = try toy()
      try command.succeed("run", "toy/toy.yaml", "--trace", "window.json", "--trace-steps", "3-4", ranks: 3)
      let steps = try events(command, "window.json", ranks: 3, steps: 4).filter { $0["cat"] == "step" }
      #expect(Set(steps.compactMap { $0["args"]?["step"]?.int }) == [3, 4])
    }

    @Test(.timeLimit(.minutes(8)))
    func `a run that is stopped or fails leaves a complete timeline`() throws {
      let command = try toy()
      let running = try command.start(
        ["run", "toy/toy.yaml", "--trace", "stopped.json", "--trace-steps", "1-5"]
          + setting("steps.0.hyperparams.max_steps=3000"), ranks: 2)
      try running.awaitSteps(7, of: "toy/out/first", in: command)
      #expect(running.signal(SIGTERM))
      let stopped = running.wait()
      #expect(stopped.code == 75, "\(stopped.said)")
      try events(command, "stopped.json", ranks: 2, steps: 5)

      try command.remove("toy/out")
      try command.expectRefusal(
        5, "no checkpoint to go back to", ranks: 2, "run", "toy/toy.yaml", "--trace", "failed.json", "--set",
        "steps.0.hyperparams.learning_rate=1e30")
      try events(command, "failed.json", ranks: 2, steps: nil)
    }

    @Test(.timeLimit(.minutes(6)))
    func `bench writes a timeline and the figures of its arithmetic`() throws {
      let command = try toy()
      let output = try command.succeed(
        "bench", "--work", "bert-mini-tiny", "--batch", "4", "--seq", "16", "--steps", "3", "--warmup", "1", "--trace",
        "bench.json", ranks: 2
      ).output
      try events(command, "bench.json", ranks: 2, steps: 4)
      let line = try #require(output.split(separator: "\n").last { $0.hasPrefix("{") })
      let figures = try JSON(parsing: String(line))
      for key in ["gemm_gflops", "gflops_per_rank", "mfu", "teacher_gemm_share"] {
        #expect(figures.number(key) >= 0, "\(key): \(line)")
      }
    }
  }
}
