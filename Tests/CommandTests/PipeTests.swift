import Foundation
import TestSupport
import Testing

/// Standard streams that are full, closed, or closed by their reader.
@Suite struct PipeTests {
  @Test func `a run goes on to its commit without a reader, and says so once`() throws {
    let command = try Command()
    try command.makeToy()
    let whole = try command.run("run", command.path("toy/toy.yaml"))
    #expect(whole.code == 0, "\(whole.said)")
    let weights = try command.shell("cat toy/out/*/model.safetensors | sha256sum; rm -r toy/out").output
    for output in ["| head -n 1", "| true", "> /dev/full", ">&-"] {
      let result = try command.shell("\"$RETORT\" run toy/toy.yaml \(output); exit ${PIPESTATUS[0]}")
      #expect(result.code == 0, "\(output): \(result.said)")
      #expect(result.errors.components(separatedBy: "the run continues").count == 2, "\(output): \(result.errors)")
      // No data file had the number of the closed stream, or the weights would have lines of progress in them.
      #expect(try command.shell("cat toy/out/*/model.safetensors | sha256sum; rm -r toy/out").output == weights)
    }
  }

  @Test(arguments: ["> /dev/full", ">&-", "| true"])
  func `results that cannot be written end every command with code 6 and one message`(output: String) throws {
    let command = try Command()
    try command.makeToy()
    let cluster = Shared.packageRoot + "/cluster-configs/laptop.yaml"
    let trained = try command.run("run", command.path("toy/toy.yaml"))
    #expect(trained.code == 0, "\(trained.said)")
    for arguments in [
      "--help", "help run", "--version", "inspect toy/out/first", "plan toy/toy.yaml --cluster '\(cluster)'",
      "evaluate toy/out/first --data toy/data/validation.tsv --text sentence",
      "evaluate toy/out/first --data toy/data/validation.tsv --text sentence --json",
      "run toy/toy.yaml --dry-run", "doctor", "doctor --json",
      "demo more", "bench --work bert-mini-tiny --steps 1 --warmup 0 --batch 1 --seq 8",
    ] {
      // A reader that is gone before the first byte: the command starts when it has ended.
      let line = (output == "| true" ? "sleep 0.1; " : "") + "exec \"$RETORT\" \(arguments)"
      let result = try command.shell("( \(line) ) \(output); exit ${PIPESTATUS[0]}")
      #expect(result.code == 6, "\(arguments): \(result.said)")
      #expect(
        result.errors.components(separatedBy: "the results could not be written").count == 2,
        "\(arguments): \(result.errors)")
    }
  }

  @Test func `closed streams at the start do no harm where nothing is lost`() throws {
    let command = try Command()
    try command.makeToy()
    let result = try command.shell("\"$RETORT\" run toy/toy.yaml <&- 2>&-")
    #expect(result.code == 0, "\(result.said)")
    #expect(result.output.contains("committed to"))
  }
}
