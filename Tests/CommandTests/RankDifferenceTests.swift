import Testing

/// Ranks of one job that were started differently find out before one waits for another in vain.
@Suite(.serialized, .enabled(if: Command.hasMPI, "mpirun is missing")) struct RankDifferenceTests {
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
    ("env ONEDNN_DEFAULT_FPMATH_MODE=BF16 $B run toy/toy.yaml", "$B run toy/toy.yaml", "the environment differs"),
    ("$B run 'toy/toy.yaml --fresh'", "$B run toy/toy.yaml --fresh", "the command line differs"),
    ("$B generate toy/model --prompt 'a b'", "$B generate toy/model --prompt 'a c'", "the command line differs"),
  ]) func `another command line or environment is refused at once`(first: String, second: String, said: String) throws {
    let command = try Command()
    try command.makeToy()
    let result = try two(command, first, second)
    #expect(result.code == 4, "\(result.said)")
    #expect(result.errors.components(separatedBy: said).count == 2, "\(result.said)")
    #expect(!command.exists("toy/out"))
  }

  @Test func `variables of a job script that Retort does not read may differ`() throws {
    let command = try Command()
    try command.makeToy()
    let result = try two(
      command, "env RETORT_NETWORK=eth0 RETORT_THREADS=1 $B run toy/toy.yaml --dry-run", "$B run toy/toy.yaml --dry-run")
    #expect(result.code == 0, "\(result.said)")
  }

  @Test func `kernels of a library that differ between ranks are remarked on`() throws {
    let command = try Command()
    try command.makeToy()
    let result = try two(
      command, "env RETORT_OPENBLAS_CORETYPE=keep OPENBLAS_CORETYPE=Prescott $B run toy/toy.yaml --dry-run",
      "env RETORT_OPENBLAS_CORETYPE=keep OPENBLAS_CORETYPE=Core2 $B run toy/toy.yaml --dry-run")
    // On other processors than x86 the names mean nothing.
    #if arch(x86_64)
      #expect(result.code == 0, "\(result.said)")
      #expect(
        result.errors.components(separatedBy: "matrix products differ between ranks").count == 2, "\(result.said)")
    #endif
  }

  /// What the last rank does not have, in a directory of its own; what both do; what is said, and the exit code.
  static let missing: [(file: String, arguments: String, said: String, code: Int32)] = [
    ("toy/toy.yaml", "run toy/toy.yaml", "toy/toy.yaml", 2),
    ("toy/data/train.tsv", "run toy/toy.yaml", "train", 3),
    ("toy/data/validation.tsv", "run toy/toy.yaml", "validation", 3),
    ("toy/tokenizer/vocab.txt", "run toy/toy.yaml", "tokenizer", 3),
    ("toy/model/config.json", "predict toy/model --input toy/data/validation.tsv --output -", "rank 1 on", 3),
    ("toy/model/model.safetensors", "evaluate toy/model --data toy/data/validation.tsv", "the list of files of", 4),
    (
      "toy/data/validation.tsv", "predict toy/model --input toy/data/validation.tsv --output -", "toy/data/validation.tsv differs",
      4
    ),
    ("toy/data/validation.tsv", "evaluate toy/model --data toy/data/validation.tsv", "validation.tsv", 4),
    ("toy/model/vocab.txt", "generate toy/model --prompt hello", "toy/model differs", 4),
    ("toy/model/config.json", "run toy/taught.yaml", "config.json", 3),
    ("toy/model/model.safetensors", "run toy/taught.yaml", "model", 3),
  ]

  @Test func `a file that one rank does not have is named, and no rank waits for it`() throws {
    let command = try Command()
    try command.makeToy()
    let made = try command.run("run", "toy/toy.yaml")
    #expect(made.code == 0, "\(made.said)")
    try command.shell(
      """
      cp -r toy/out/first toy/model && rm -rf toy/model/training toy/out
      sed -e 's/teacher: null/teacher: model\\n      allow_untrained_teacher: true/;/step_id: second/,$d' toy/toy.yaml >toy/taught.yaml
      """)
    for (file, arguments, said, code) in Self.missing {
      try command.shell("rm -rf elsewhere && mkdir elsewhere && cp -r toy elsewhere/toy && rm elsewhere/\(file)")
      let other = "--wdir elsewhere $B \(arguments)"
      let result = try two(command, "$B \(arguments)", other, limit: 30)
      #expect(result.code == code, "\(file), \(arguments): \(result.code) \(result.said)")
      #expect(result.errors.contains(said), "\(file), \(arguments): \(result.said)")
      #expect(result.errors.components(separatedBy: "retort: ").count == 2, "\(file), \(arguments): \(result.said)")
    }
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
