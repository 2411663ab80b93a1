import Foundation
import Platform
import TestSupport
import Testing

/// Where `predict` writes, and what its output name may be.
@Suite struct OutputTests {
  /// A chain of one tiny classifier and an input of four lines.
  private func makeModel() throws -> (Command, answers: String) {
    let command = try Command()
    try command.makeToy(steps: 1, train: 16, validation: 8)
    let trained = try command.run("run", command.path("toy/toy.yaml"))
    #expect(trained.code == 0, "\(trained.said)")
    try command.write(
      "in.jsonl", (0..<5).map { "{\"sentence\": \"a\(String(repeating: " good", count: $0)) film\"}\n" }.joined())
    let result = try command.shell(Self.predict("--input in.jsonl --output expected.jsonl"))
    #expect(result.code == 0 && result.said.isEmpty, "\(result.said)")
    return (command, try command.read("expected.jsonl"))
  }

  private static func predict(_ arguments: String) -> String {
    "\"$RETORT\" predict toy/out/first --precision fp32 \(arguments)"
  }

  @Test func `standard input and output, pipes and FIFOs work as files do`() throws {
    let (command, answers) = try makeModel()
    #expect(answers.split(separator: "\n").count == 5)
    for (line, place) in [
      (Self.predict("--input - --output - < in.jsonl"), ""),
      ("cat in.jsonl | " + Self.predict("--input - --output -"), ""),
      ("cat in.jsonl | " + Self.predict("--input /dev/stdin --output /dev/stdout | cat"), ""),
      (Self.predict("--input /dev/stdin --output /dev/stdout < in.jsonl >> appended.jsonl"), "appended.jsonl"),
      (Self.predict("--input in.jsonl --output >(cat > substituted.jsonl); sleep 0.3"), "substituted.jsonl"),
      (Self.predict("--input <(cat in.jsonl) --output -"), ""),
      ("mkfifo in.fifo; cat in.jsonl > in.fifo & " + Self.predict("--input in.fifo --output -"), ""),
      ("mkfifo out.fifo; cat out.fifo > read.jsonl & " + Self.predict("--input in.jsonl --output out.fifo; wait"),
       "read.jsonl"),
      // The link stays; the file behind it is written.
      ("mkdir -p far; touch far/real; ln -s real far/b; ln -s far/b link; "
        + Self.predict("--input in.jsonl --output link; test -L link -a -L far/b -a ! -L far/real"), "far/real"),
      ("ln -s made.jsonl dangling; " + Self.predict("--input in.jsonl --output dangling; test -L dangling"), "made.jsonl"),
    ] {
      let result = try command.shell(line)
      #expect(result.code == 0 && result.errors.isEmpty, "\(line): \(result.said)")
      #expect(try (place.isEmpty ? result.output : command.read(place)) == answers, "\(line)")
    }
    #expect(try command.shell("test -p in.fifo -a -p out.fifo").code == 0)
    #expect(try command.shell("ls | grep -c tmp").output == "0\n")
  }

  @Test func `metrics have a line for each logged step, the last step and each evaluation, and no other`() throws {
    let command = try Command()
    try command.makeToy(steps: 5, train: 32, validation: 8)
    try command.succeed(
      "run", "toy/toy.yaml", "--set", "defaults.logging_steps=2", "--set", "defaults.evaluation_strategy=steps",
      "--set", "defaults.eval_steps=3")
    let lines = try command.read("toy/out/first/training/metrics.jsonl").split(separator: "\n")
    let events = try lines.map { line in
      let json = try JSON(parsing: String(line))
      return "\(json["event"]?.string ?? String(line)) \(json["step"]?.int ?? 0)"
    }
    #expect(events == ["step 2", "evaluation 3", "step 4", "step 5", "evaluation 5"], "\(events)")
  }

  @Test func `standard input reaches all ranks, and only rank 0 writes`() throws {
    let (command, _) = try makeModel()
    let script = """
      . '\(Shared.packageRoot)/launch/lib/common.sh'; . '\(Shared.packageRoot)/launch/lib/mpi.sh'
      local_mpirun_flags 2
      mpirun "${mpirun_flags[@]}" \(Self.predict("--input in.jsonl --output both.jsonl")) < /dev/null
      cat in.jsonl | mpirun "${mpirun_flags[@]}" \(Self.predict("--input - --output -"))
      """
    let result = try command.shell(script)
    #expect(result.code == 0, "\(result.said)")
    #expect(try result.output == command.read("both.jsonl"))
  }

  @Test func `a device is written to and never replaced`() throws {
    let (command, _) = try makeModel()
    let full = try command.shell(Self.predict("--input in.jsonl --output /dev/full"))
    #expect(full.code == 6 && full.errors.contains("No space left"), "\(full.said)")
    let null = try command.shell(Self.predict("--input in.jsonl --output /dev/null"))
    #expect(null.code == 0, "\(null.said)")
    #expect(try command.shell("test -c /dev/full -a -c /dev/null -a -L /dev/stdout").code == 0)
    for output in ["> /dev/full", ">&-", "| true"] {
      let line = (output == "| true" ? "sleep 0.1; " : "") + Self.predict("--input in.jsonl --output -")
      let result = try command.shell("( \(line) ) \(output); exit ${PIPESTATUS[0]}")
      // What is closed from the start is refused before any work is done.
      #expect(result.code == (output == ">&-" ? 2 : 6), "\(output): \(result.said)")
      #expect(result.errors.split(separator: "\n").count == 1, "\(result.errors)")
    }
  }

  @Test func `an output that cannot be written is refused before any work, with the reason`() throws {
    let command = try Command()
    try command.write("file", "kept")
    for (output, reason) in [
      (".", "is a directory"), ("missing/out.jsonl", "there is no directory missing"), ("new/", "name of a directory"),
      ("file/out.jsonl", "file is a file, not a directory"), ("/proc/out.jsonl", "does not accept it"),
    ] {
      let result = try command.run("predict", "no-model", "--input", "x.jsonl", "--output", output)
      #expect(result.code == 2 && result.errors.contains(reason), "\(output): \(result.said)")
    }
    #expect(try command.shell("ln -s loop loop; \"$RETORT\" predict m --input x --output loop").code == 2)
    #expect(try command.read("file") == "kept")
  }

  @Test func `a file that is replaced keeps its permissions`() throws {
    let (command, answers) = try makeModel()
    let name = String(repeating: "n", count: 240)
    let result = try command.shell(
      "touch \(name); chmod 600 \(name); \(Self.predict("--input in.jsonl --output \(name)")) && stat -c %a \(name)")
    #expect(result.output == "600\n", "\(result.said)")
    #expect(try command.read(name) == answers)
  }

  @Test(.enabled(if: getuid() == 0, "needs root to become another user"))
  func `a user without permissions is told so`() throws {
    let command = try Command()
    let result = try command.shell(
      "cp \"$RETORT\" retort; mkdir -m 755 theirs; chmod 755 .; "
        + "setpriv --reuid=65534 --regid=65534 --clear-groups ./retort predict m --input x --output theirs/out")
    #expect(result.code == 2 && result.errors.contains("no permission to write in theirs"), "\(result.said)")
  }

  @Test func `the demo overwrites nothing that it has not written`() throws {
    let command = try Command()
    #expect(try command.run("demo", "d", "--train", "20", "--validation", "8").code == 0)
    #expect(try command.run("demo", "d", "--train", "20", "--validation", "8").code == 0)
    let chain = try command.read("d/chain.yaml") + "# mine\n"
    try command.write("d/chain.yaml", chain)
    let refused = try command.run("demo", "d", "--train", "20", "--validation", "8")
    #expect(refused.code == 2 && refused.errors.contains("d/chain.yaml"), "\(refused.said)")
    #expect(try command.read("d/chain.yaml") == chain)
    #expect(try command.run("demo", "d", "--train", "20", "--validation", "8", "--overwrite").code == 0)
    #expect(try command.read("d/chain.yaml") != chain)
  }
}
