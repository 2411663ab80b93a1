import Foundation
import Testing

/// What the system refuses or takes away while the command runs.
@Suite struct LimitTests {
  @Test func `a file size limit is an error of the write`() throws {
    let command = try Command()
    try command.makeToy()
    let result = try command.shell("ulimit -f 8; exec $RETORT run toy/toy.yaml")
    #expect(result.code == 6, "\(result.code) \(result.said)")
    #expect(result.errors.contains("File too large"))
  }

  @Test func `what is no regular file is refused at once, wherever a file is read`() throws {
    let command = try Command()
    try command.makeToy(steps: 2)
    #expect(try command.run("run", command.path("toy/toy.yaml")).code == 0)
    let all = try command.shell("mkfifo fifo; ls toy/out/second").output
    let chain = try command.run("run", command.path("fifo"), limit: 20)
    #expect(chain.code == 2 && chain.errors.contains("is a FIFO"), "\(chain.code) \(chain.said)")
    for name in all.split(separator: "\n") where name.contains(".") {
      let result = try command.shell(
        "rm -rf m; cp -r toy/out/second m; rm m/\(name); mkfifo m/\(name); exec $RETORT predict m --input "
          + "toy/data/validation.tsv --output p.jsonl --text sentence", limit: 20)
      #expect(result.code == 3 && result.errors.contains("is a FIFO"), "\(name): \(result.code) \(result.said)")
    }
    let data = try command.shell(
      "rm toy/data/train.tsv; mkfifo toy/data/train.tsv; exec $RETORT run toy/toy.yaml --set 'steps.*.output_dir=o'",
      limit: 20)
    #expect([2, 3].contains(data.code), "\(data.code) \(data.said)")
  }

  @Test func `a data file that is cut while it is in use is named, with code 3`() throws {
    let command = try Command()
    // 64 MB of rows, and a cut as soon as the command has mapped them.
    let script = """
      { printf 'text\\tlabel\\n'; yes "some words of a row	1" | head -n 2800000; } > big.tsv
      cat > cut.yaml <<'END'
      distillation_chain:
        metadata: {dataset: {train: big.tsv, validation: big.tsv}, task: {kind: classification, text: text, label: label, labels: [a, b]}, max_length: 8}
        steps:
          - student_base: {family: bert, num_hidden_layers: 1, hidden_size: 8, num_attention_heads: 1, intermediate_size: 8, max_position_embeddings: 8, tokenizer: toy/tokenizer}
            teacher: null
            output_dir: cut-out
      END
      $RETORT run cut.yaml & pid=$!
      for i in $(seq 400); do grep -q big.tsv /proc/$pid/maps 2>/dev/null && break; sleep 0.01; done
      : > big.tsv
      wait $pid
      """
    try command.makeToy()
    let result = try command.shell(script)
    #expect(result.code == 3, "\(result.code) \(result.said)")
    #expect(result.errors.contains("big.tsv"))
  }

  @Test(arguments: [1, 2])
  func `whatever addresses a rank may have, the command works or says what it lacks`(ranks: Int) throws {
    let command = try Command()
    try command.makeToy(steps: 2)
    let library = "\(Command.root)/launch/lib"
    let launch =
      ". \(library)/common.sh; . \(library)/mpi.sh; local_mpirun_flags 2; mpirun \"${mpirun_flags[@]}\""
    var worked: [Int] = []
    for megabytes in ranks == 1 ? [192, 288, 384, 448, 512, 640, 1024] : [288, 448, 1024] {
      let line = "ulimit -v \(megabytes << 10); exec $RETORT run toy/toy.yaml"
      let result = try command.shell(
        "rm -rf toy/out cache; " + (ranks == 1 ? line : launch + " sh -c '\(line)'"), limit: 20)
      if result.code == 0 {
        worked.append(megabytes)
        continue
      }
      let words = result.errors.split(separator: "\n").filter { $0.hasPrefix("retort: ") }
      #expect([1, 4].contains(result.code), "\(megabytes) MB: \(result.code) \(result.said)")
      #expect(
        words.contains { $0.contains("out of memory") && $0.contains("ulimit -v") && $0.contains("bytes") },
        "\(megabytes) MB: \(result.said)")
    }
    #expect(worked.contains(1024) && !worked.contains(288))
  }

  @Test(arguments: ["v", "d"]) func `a plan beyond a limit is refused before training, with what would need less`(
    kind: String
  ) throws {
    let command = try Command()
    try command.makeToy(steps: 2)
    // 100 million weights take 1.6 GB in training, and 0.4 GB of addresses to be looked at.
    let sizes = ["num_hidden_layers=8", "hidden_size=1024", "intermediate_size=4096"]
    let set = sizes.map { "--set steps.0.student_base.\($0)" }.joined(separator: " ")
    for mode in ["--dry-run", ""] {
      let result = try command.shell(
        "ulimit -\(kind) 1200000; exec $RETORT run toy/toy.yaml \(set) \(mode)", limit: 60)
      #expect(result.code == 4, "\(mode): \(result.code) \(result.said)")
      // Addresses may be too few for the model to be looked at.
      let plan = kind == "d" ? ["step first needs about", "optimizer"] : []
      for words in plan + ["1,228,800,000", "batch_size", "weights"] {
        #expect(result.errors.contains(words), "\(words): \(result.said)")
      }
      #expect(!command.exists("toy/out/first/model.safetensors"))
    }
  }

  @Test(arguments: [
    "hidden_size=1000000000000", "num_hidden_layers=1000000000", "max_position_embeddings=1000000000000",
    "num_attention_heads=9223372036854775807", "intermediate_size=1e30", "vocab_size=2147483649",
    "type_vocab_size=1e300",
  ])
  func `sizes that no model has are refused in the chain file, by name`(size: String) throws {
    let command = try Command()
    try command.makeToy(steps: 2)
    for words in [["run"], ["plan", "--cluster", Command.root + "/cluster-configs/laptop.yaml"]] {
      let result = try command.run(
        words + [command.path("toy/toy.yaml"), "--set", "steps.0.student_base.\(size)"], limit: 30)
      #expect(result.code == 2, "\(words[0]): \(result.code) \(result.said)")
      #expect(result.errors.contains(String(size.prefix { $0 != "=" })), "\(words[0]): \(result.said)")
    }
  }

  @Test func `sizes in a config.json are held against the tensors by every command`() throws {
    let command = try Command()
    try command.makeToy(steps: 2)
    #expect(try command.run("run", command.path("toy/toy.yaml")).code == 0)
    for (key, value) in [
      ("hidden_size", "65536"), ("vocab_size", "2147483648"), ("num_hidden_layers", "1000000000"),
      ("max_position_embeddings", "1000000000000"), ("intermediate_size", "1073741824"),
      ("num_attention_heads", "1e18"),
    ] {
      let script = """
        rm -rf m; cp -r toy/out/first m; sed -i 's/"\(key)": [0-9]*/"\(key)": \(value)/' m/config.json
        ulimit -v 4000000; exec $RETORT
        """
      for words in ["predict m --input toy/data/validation.tsv --output p.jsonl", "inspect m"] {
        let result = try command.shell("\(script) \(words)", limit: 30)
        #expect(result.code == 3, "\(key) \(words): \(result.code) \(result.said)")
        #expect(result.errors.contains(key) || result.errors.contains("\(value)"), "\(key): \(result.said)")
      }
    }
  }

  @Test func `a tokenizer_config's model_max_length of 1e30 means no limit`() throws {
    let command = try Command()
    try command.makeToy(steps: 2)
    let before = try command.run("run", command.path("toy/toy.yaml"))
    #expect(before.code == 0, "\(before.said)")
    let result = try command.shell(
      "sed -i 's/\"model_max_length\": *[0-9]*/\"model_max_length\": 1000000000000000019884624838656/' "
        + "toy/out/first/tokenizer_config.json; grep -q 19884624838656 toy/out/first/tokenizer_config.json && "
        + "exec $RETORT evaluate toy/out/first --data toy/data/validation.tsv", limit: 30)
    #expect(result.code == 0, "\(result.code) \(result.said)")
  }

  @Test func `a thread that is refused is a message and not a wait`() throws {
    let command = try Command()
    try command.makeToy(steps: 2)
    // The limit on stacks is the size of each thread's: one that is too large for the addresses.
    let result = try command.shell(
      "ulimit -s 800000; ulimit -v 1000000; OPENBLAS_NUM_THREADS=2 exec $RETORT run toy/toy.yaml", limit: 20)
    #expect([1, 4].contains(result.code), "\(result.code) \(result.said)")
    #expect(result.errors.contains("the system refused a thread"), "\(result.said)")
  }

  @Test func `numbers of options and of the environment have ranges`() throws {
    let command = try Command()
    let huge = "9223372036854775807"
    for arguments in [
      ["bench", "--steps", huge], ["bench", "--batch", huge], ["bench", "--warmup", huge], ["bench", "--epochs", huge],
      ["bench", "--seq", huge], ["bench", "--trace", "t", "--trace-steps", "1-\(huge)"],
      ["generate", "m", "--prompt", "a", "--max-new-tokens", huge], ["generate", "m", "--prompt", "a", "--top-k", huge],
      ["generate", "m", "--prompt", "a", "--temperature", "1e-300"],
      ["evaluate", "m", "--data", "d", "--max-length", huge], ["demo", "d", "--train", huge],
      ["plan", "c", "--cluster", "c", "--ranks", huge], ["cache", "clear", "--older-than", "1e300"],
    ] {
      let result = try command.run(arguments, limit: 20)
      #expect(result.code == 2 && !result.errors.isEmpty, "\(arguments): \(result.code) \(result.said)")
    }
    let threads = try command.run("doctor", environment: ["OPENBLAS_NUM_THREADS": huge], limit: 20)
    #expect(threads.code == 2 && threads.errors.contains("OPENBLAS_NUM_THREADS"))
  }
}
