import Testing

/// Ranks of one job that were started differently find out before one waits for another in vain.
@Suite(.serialized) struct RankDifferenceTests {
  /// Two ranks with a command line each, as `bash` words; `$B` is the binary.
  private func two(_ command: Command, _ first: String, _ second: String, limit: Double = 60) throws -> Command.Result {
    try command.shell(
      """
      . "$0/launch/lib/common.sh"; . "$0/launch/lib/mpi.sh"; local_mpirun_flags 2; B=$RETORT
      exec mpirun "${mpirun_flags[@]:2}" -n 1 \(first) : -n 1 \(second)
      """, [root], limit: limit)
  }

  private var root: String { Command.root }

  @Test(arguments: [
    ("$B run toy/toy.yaml", "$B run toy/toy.yaml --fresh", "the command line differs"),
    ("$B run toy/toy.yaml --dry-run", "$B run toy/toy.yaml", "the command line differs"),
    ("$B run toy/toy.yaml", "$B inspect toy", "the command line differs"),
    ("$B run toy/toy.yaml", "$B run toy/toy.yaml --frehs", "the command line differs"),
    ("env RETORT_ISA=baseline $B run toy/toy.yaml", "$B run toy/toy.yaml", "the environment differs"),
  ]) func `another command line or environment is refused at once`(first: String, second: String, said: String) throws {
    let command = try Command()
    try command.makeToy()
    let result = try two(command, first, second)
    #expect(result.code == 4, "\(result.said)")
    #expect(result.errors.components(separatedBy: said).count == 2, "\(result.said)")
    #expect(!command.exists("toy/out"))
  }

  @Test func `a command without ranks speaks once, with its own code`() throws {
    let command = try Command()
    try command.makeToy()
    let help = try command.run("--help", ranks: 2)
    #expect(help.code == 0 && help.output.components(separatedBy: "USAGE").count == 2, "\(help.said)")
    let slip = try command.run("run", "x.yaml", "--frehs", ranks: 2)
    #expect(slip.code == 2 && slip.errors.components(separatedBy: "Unknown option").count == 2, "\(slip.said)")
    let missing = try command.run("inspect", "nothing-here", ranks: 2)
    #expect(missing.code == 3 && missing.errors.components(separatedBy: "retort: ").count == 2, "\(missing.said)")
  }

  /// Runs with a file that the second rank sees with other content, by a mount of its own.
  private func mounted(_ other: String, over file: String) throws -> Command.Result? {
    let command = try Command()
    try command.makeToy()
    if try command.shell("unshare -m true").code != 0 { return nil }
    try command.shell(other)
    let hidden = "unshare -m sh -c 'mount --bind other \(file) && exec \"$RETORT\" run toy/toy.yaml'"
    return try two(command, "$B run toy/toy.yaml", hidden)
  }

  @Test(arguments: [
    ("tr a e <toy/data/train.tsv >other", "toy/data/train.tsv", "the content of"),
    ("head -n 20 toy/data/train.tsv >other", "toy/data/train.tsv", "the content of"),
    ("head -n 20 toy/data/validation.tsv >other", "toy/data/validation.tsv", "the content of"),
    ("sed s/3e-3/2e-3/\\;s/1e-3/2e-3/ toy/toy.yaml >other", "toy/toy.yaml", "the chain file differs"),
    ("f=$(ls -d toy/tokenizer/vocab.txt); tac $f >other", "toy/tokenizer/vocab.txt", "the tokenizer of"),
  ]) func `a file that one host has differently is refused by name`(make: String, file: String, said: String) throws {
    guard let result = try mounted(make, over: file) else { return }
    #expect(result.code == 4, "\(result.said)")
    #expect(result.errors.contains(said), "\(result.said)")
  }
}
