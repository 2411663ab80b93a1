import Foundation
import Platform
import Testing

extension WholeChainTests {
  /// The cache of teacher signals: the losses have the same characters without it and with it empty, full, torn, shared
  /// by two runs, on a full disk and without a directory.
  @Suite struct SignalCacheTests {
    /// The toy with its first step trained, and a cache in the test's directory.
    private struct Runs {
      let command: Command
      private let first = setting("steps.0.hyperparams.max_steps=40")

      init() throws {
        command = try Command()
        try command.makeToy(steps: 12, train: 200, validation: 60, threads: nil)
        try command.succeed(["run", "toy/toy.yaml"] + first, ranks: 2)
      }

      func arguments(_ name: String, _ values: [String]) -> [String] {
        ["run", "toy/toy.yaml"] + first
          + setting("steps.1.hyperparams.max_steps=39", "steps.1.output_dir=\(command.path(name))") + values
      }

      /// Trains the second step for three epochs into a directory of this name, and returns what was said.
      @discardableResult func second(_ name: String, ranks: Int = 2, _ values: String...) throws -> String {
        let said = try command.succeed(arguments(name, values.flatMap { ["--set", $0] }), ranks: ranks).said
        #expect(try command.metrics(name).count == 39, "\(name)")
        return said
      }

      /// Expects the losses of two runs to have the same characters.
      func expectEqual(_ name: String, _ other: String, at place: SourceLocation = #_sourceLocation) throws {
        expectSame(try command.metrics(name), try command.metrics(other), within: 0, other, at: place)
      }

      /// The part of the signals that a run found in the cache; NaN if it used none.
      func rate(_ name: String) throws -> Double {
        try command.stepJSON(name).number("results", "teacher_cache", "hit_rate")
      }

      /// The files of the cache with this ending, all teachers.
      func kept(_ ending: String) throws -> [String] {
        let root = command.path("cache/teachers")
        return try FileManager.default.subpathsOfDirectory(atPath: root).filter { $0.hasSuffix(ending) }
          .map { root + "/" + $0 }
      }

      func truncate(_ file: String, to bytes: (Int) -> Int) throws {
        let handle = try #require(FileHandle(forUpdatingAtPath: file))
        try handle.truncate(atOffset: UInt64(bytes(Int(try handle.seekToEnd()))))
        try handle.close()
      }

      func weights() throws -> Int {
        let files = try kept("/weights")
        let file = try #require(files.count == 1 ? files[0] : nil, "\(files)")
        return try #require(try FileManager.default.attributesOfItem(atPath: file)[.systemFileNumber] as? Int)
      }
    }

    @Test(.timeLimit(.minutes(8)))
    func `losses are the same without the cache, cold, warm, torn, and with other weights in it`() throws {
      let runs = try Runs()
      let command = runs.command
      #expect(try !runs.second("without", "parallel.teacher.cache=false").contains("teacher signals"))
      #expect(try runs.rate("without").isNaN)
      try command.remove("cache/teachers")
      let cold = try runs.second("cold")
      try runs.expectEqual("without", "cold")
      let summary = /teacher signals: .* % of .* from the cache \(.* bytes\), .* computed, .* bytes written/
      #expect(try summary.firstMatch(in: cold) != nil, "\(cold)")
      #expect(try 0.6 < runs.rate("cold") && runs.rate("cold") < 0.8)
      #expect(try runs.kept(".tmp").isEmpty)
      let files = try runs.kept("/weights")
      #expect(files.count == 1, "two ranks share one file of weights")
      for file in files { try FileManager.default.removeItem(atPath: file) }

      try runs.second("warm")
      try runs.expectEqual("without", "warm")
      #expect(try runs.kept("/weights").isEmpty, "a teacher was read whose signals are all kept")
      #expect(try runs.rate("warm") == 1)
      let other = try runs.second(
        "other", ranks: 3, "steps.1.student_base.hidden_size=24", "steps.1.hyperparams.learning_rate=3e-3",
        "steps.1.hyperparams.batch_size=8", "metadata.seed=3", "steps.1.hyperparams.temperature=2")
      #expect(try runs.rate("other") == 1, "another student on another number of ranks")
      #expect(other.contains("teacher signals: 100.0 % of"), "\(other)")

      // Every segment truncated in its middle: complete records are read, the rest is computed again.
      for file in try runs.kept(".sig") { try runs.truncate(file) { $0 / 2 } }
      try runs.second("torn")
      try runs.expectEqual("without", "torn")
      #expect(try 0.6 < runs.rate("torn") && runs.rate("torn") < 1)

      // Another run finds the file of shared weights, and rebuilds it if it is torn.
      let before = try runs.weights()
      for file in try runs.kept(".sig") { try FileManager.default.removeItem(atPath: file) }
      try runs.second("again")
      try runs.expectEqual("without", "again")
      #expect(try runs.weights() == before, "the weights were converted twice")
      for file in try runs.kept(".sig") { try FileManager.default.removeItem(atPath: file) }
      for file in try runs.kept("/weights") { try runs.truncate(file) { _ in 5000 } }
      try runs.second("remade")
      try runs.expectEqual("without", "remade")
      #expect(try runs.weights() != before, "torn weights were kept")
    }

    @Test(.timeLimit(.minutes(8)))
    func `a full disk, no directory and another run at work change nothing but the work`() throws {
      let runs = try Runs()
      let command = runs.command
      func remarks(_ said: String, _ text: String) -> Int {
        said.split(whereSeparator: \.isNewline).filter { $0.contains(text) }.count
      }
      try runs.second("without", "parallel.teacher.cache=false")
      try command.remove("cache/teachers")
      let small = try runs.second("small", "parallel.teacher.cache_limit=2KB")
      try runs.expectEqual("without", "small")
      #expect(remarks(small, "teacher signals are no longer kept") == 1, "\(small)")
      let bytes = try command.shell("du -sb cache/teachers").output.prefix { $0.isNumber }
      #expect(try #require(Int(bytes)) <= 20_000)

      try command.remove("cache/teachers")
      try command.write("cache/teachers", "no directory")
      let nowhere = try runs.second("nowhere")
      try runs.expectEqual("without", "nowhere")
      #expect(remarks(nowhere, "teacher signals are no longer kept on disk") == 1, "\(nowhere)")
      try command.remove("cache/teachers")

      let both = try ["left", "right"].map {
        let own = setting("steps.0.output_dir=\(command.path("first of \($0)"))")
        return try command.start(runs.arguments($0, own), ranks: 2)
      }
      for running in both {
        let result = running.wait(limit: 120)
        #expect(result.code == 0, "\(result.said)")
      }
      try runs.expectEqual("without", "left")
      try runs.expectEqual("without", "right")
      try runs.second("after", ranks: 1)
      #expect(try runs.rate("after") == 1)
    }
  }
}
