import Foundation
import Testing

/// What a run does with what it finds in an output directory.
@Suite struct OutputDirectoryTests {
  private func trained(_ values: String...) throws -> Command {
    let command = try Command()
    try command.makeToy()
    let result = try command.run(["run", command.path("toy/toy.yaml")] + values.flatMap { ["--set", $0] })
    #expect(result.code == 0, "\(result.said)")
    return command
  }

  private func digests(_ command: Command, _ place: String) throws -> String {
    try command.shell("cd \(place) && sha256sum *.* training/step.json").output
  }

  /// Each file of the student has the digest that step.json names.
  private func expectWhole(_ command: Command, _ place: String) throws {
    let json = try JSONSerialization.jsonObject(with: Data(command.read(place + "/training/step.json").utf8))
    let files = ((json as? [String: Any])?["files"] as? [String: [String: Any]]) ?? [:]
    #expect(Set(files.keys).isSuperset(of: ["config.json", "model.safetensors", "vocab.txt"]))
    for (name, entry) in files {
      let digest = try command.shell("sha256sum <\(place)/\(name)").output.prefix(64)
      #expect(entry["sha256"] as? String == String(digest), "\(name)")
    }
  }

  @Test func `a directory with files of others is refused, in a dry run too, and left as it is`() throws {
    let command = try Command()
    try command.makeToy()
    try command.write("toy/out/first/model.safetensors", "somebody's weights")
    try command.write("toy/out/first/notes.md", "mine")
    for extra in [[], ["--dry-run"]] {
      let result = try command.run(["run", command.path("toy/toy.yaml")] + extra)
      #expect(result.code == 2, "\(result.said)")
      for part in ["toy/out/first", "model.safetensors, notes.md", "--overwrite"] {
        #expect(result.errors.contains(part), "\(result.errors)")
      }
    }
    #expect(try command.shell("find toy/out | sort").output == """
      toy/out
      toy/out/first
      toy/out/first/model.safetensors
      toy/out/first/notes.md

      """)
    #expect(try command.run("status", command.path("toy/toy.yaml")).output.contains("is refused"))
  }

  @Test func `--overwrite puts the student there and keeps what it takes the place of`() throws {
    let command = try Command()
    try command.makeToy()
    try command.write("toy/out/first/model.safetensors", "somebody's weights")
    try command.write("toy/out/first/tokenizer.json", "somebody's tokenizer")
    try command.write("toy/out/first/notes.md", "mine")
    let result = try command.run("run", command.path("toy/toy.yaml"), "--overwrite")
    #expect(result.code == 0, "\(result.said)")
    try expectWhole(command, "toy/out/first")
    #expect(try command.read("toy/out/first/notes.md") == "mine")
    #expect(try command.shell("cat toy/out/first/training/replaced/*/model.safetensors").output == "somebody's weights")
    // A tokenizer that is not the student's would be read before its own.
    #expect(try command.shell("ls toy/out/first/tokenizer.json").code != 0)
    #expect(try command.run("run", command.path("toy/toy.yaml")).output.contains("is committed already"))
  }

  @Test func `a model that the chain reads is never an output, by whatever name`() throws {
    let command = try trained()
    try command.shell("""
      cp -r toy/out/first toy/model; rm -r toy/model/training; ln -s model toy/link; cp -r toy/tokenizer toy/tok
      sed 's/teacher: null/teacher: model/; s/teacher: first/teacher: null/' toy/toy.yaml >toy/taught.yaml
      """)
    let before = try command.shell("sha256sum toy/model/* toy/tokenizer/*").output
    for (place, what) in [("model", "is this step's own output"), ("link", "the teacher of step first"),
      ("tokenizer", "the tokenizer of step first")]
    {
      let result = try command.run(
        "run", command.path("toy/taught.yaml"), "--overwrite", "--set", "steps.0.output_dir=\(place)", "--set",
        "steps.0.allow_untrained_teacher=true")
      #expect(result.code == 2, "\(result.said)")
      #expect(result.errors.contains(what), "\(result.errors)")
    }
    #expect(try command.shell("sha256sum toy/model/* toy/tokenizer/*").output == before)
  }

  @Test func `steps have directories of their own, and none in another's`() throws {
    let command = try Command()
    try command.makeToy()
    try command.shell("ln -s . toy/here")
    for place in ["out/first/inner", "here/out/first", "out"] {
      let result = try command.run("run", command.path("toy/toy.yaml"), "--set", "steps.1.output_dir=\(place)")
      #expect(result.code == 2, "\(place): \(result.said)")
    }
    // The chain file and the data lie there.
    let result = try command.run("run", command.path("toy/toy.yaml"), "--set", "steps.1.output_dir=.")
    #expect(result.code == 2, "\(result.said)")
    #expect(try command.shell("ls toy/out").code != 0)
  }

  @Test func `a directory with nothing but hidden or unfinished files is as good as empty`() throws {
    let command = try Command()
    try command.makeToy()
    try command.write("toy/out/first/.gitkeep", "")
    try command.write("toy/out/first/model.safetensors.123.456.tmp", "half")
    let result = try command.run("run", command.path("toy/toy.yaml"))
    #expect(result.code == 0, "\(result.said)")
    #expect(try command.shell("ls -A toy/out/first").output.contains(".tmp") == false)
  }

  @Test func `a relative output_dir is the chain file's`() throws {
    let command = try Command()
    try command.makeToy()
    let result = try command.run("run", command.path("toy/toy.yaml"), "--set", "steps.0.output_dir=here/first")
    #expect(result.code == 0, "\(result.said)")
    try expectWhole(command, "toy/here/first")
    #expect(result.output.contains("/toy/here/first"))
  }

  @Test func `what is done with each step is said before, with the values that differ`() throws {
    let command = try trained()
    let chain = command.path("toy/toy.yaml")
    let kept = try command.run("status", chain)
    #expect(kept.code == 0 && kept.output.components(separatedBy: "and kept").count == 3, "\(kept.said)")
    let before = try command.shell("find toy -type f -printf '%p %s %T@\\n' | sort").output
    for arguments in [["status", chain], ["run", chain, "--dry-run"]] {
      let result = try command.run(arguments + ["--set", "steps.1.hyperparams.alpha=0.9"])
      #expect(result.output.contains("is retrained because alpha 0.3 → 0.9; the existing student"), "\(result.said)")
      #expect(result.output.contains("and kept"))
      let first = try command.run(arguments + ["--set", "steps.0.hyperparams.max_steps=7"])
      #expect(first.output.contains("because max_steps 6 → 7"), "\(first.said)")
      #expect(first.output.contains("because its teacher, step first, is trained before it"), "\(first.said)")
      let wider = try command.run(arguments + ["--set", "steps.0.student_base.hidden_size=48"])
      #expect(wider.output.contains("student_base.hidden_size 32 → 48"), "\(wider.said)")
      let shorter = try command.run(arguments + ["--set", "metadata.max_length=32"])
      #expect(shorter.output.contains("max_length 64 → 32"), "\(shorter.said)")
    }
    try command.shell("head -n 30 toy/data/train.tsv >t && mv t toy/data/train.tsv")
    #expect(try command.run("status", chain).output.contains("because the training data changed"))
    try command.shell("sed -i '$d' toy/data/validation.tsv")
    #expect(try command.run("status", chain).output.contains("the validation data changed"))
    let json = try command.run("status", chain, "--json")
    let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
    let steps = object?["steps"] as? [[String: Any]]
    #expect(steps?.map { $0["state"] as? String } == ["retrained", "retrained"])
    let after = try command.shell("find toy -path toy/data -prune -o -type f -printf '%p %s %T@\\n' | sort").output
    #expect(Set(after.split(separator: "\n").filter { !$0.hasPrefix("toy ") }).isSubset(
      of: Set(before.split(separator: "\n"))))
  }

  @Test func `the old student stays whole while its successor trains, and after it was stopped`() throws {
    let command = try trained()
    let chain = command.path("toy/toy.yaml")
    let before = try digests(command, "toy/out/first")
    let metrics = try command.read("toy/out/first/training/metrics.jsonl")
    let stopped = try command.shell("""
      $RETORT run \(chain) --set steps.0.hyperparams.max_steps=100000 --set defaults.save_steps=5 >log 2>&1 &
      for i in $(seq 600); do ls -d toy/out/first/training/checkpoints/step-* >/dev/null 2>&1 && break; sleep 0.05; done
      (cd toy/out/first && sha256sum *.* training/step.json); kill -KILL $!; wait $!; true
      """)
    #expect(stopped.output == before, "\(stopped.said)")
    #expect(try digests(command, "toy/out/first") == before)
    // With its own values it is kept as it was, its metrics with it.
    let again = try command.run("run", chain)
    #expect(again.output.components(separatedBy: "is committed already").count == 3, "\(again.said)")
    #expect(try command.read("toy/out/first/training/metrics.jsonl") == metrics)
    try expectWhole(command, "toy/out/first")
  }

  @Test func `a missing, empty or changed file of a student is noticed, and nothing of it is lost`() throws {
    let command = try trained()
    let chain = command.path("toy/toy.yaml")
    let before = try digests(command, "toy/out/second")
    for spoil in ["rm toy/out/second/vocab.txt", ": >toy/out/second/config.json", "echo >>toy/out/second/vocab.txt"] {
      try command.shell(spoil)
      let told = try command.run("status", chain)
      #expect(told.output.contains("which is rewritten"), "\(told.said)")
      let result = try command.run("run", chain)
      #expect(result.code == 0 && result.output.contains("is written again"), "\(spoil): \(result.said)")
      #expect(try digests(command, "toy/out/second") == before, "\(spoil)")
    }
    #expect(try command.shell("ls toy/out/second/training/replaced/*/vocab.txt").code == 0)
    // Weights come from training alone.
    try command.shell("printf X | dd of=toy/out/second/model.safetensors bs=1 seek=2000 conv=notrunc 2>/dev/null")
    let result = try command.run("run", chain)
    #expect(result.output.contains("because model.safetensors has changed since it was committed"), "\(result.said)")
    #expect(try digests(command, "toy/out/second").split(separator: "\n").dropLast() == before.split(separator: "\n").dropLast())
    try expectWhole(command, "toy/out/second")
  }

  @Test func `a record of an earlier version is read`() throws {
    let command = try trained()
    try command.shell("""
      sed -i '/^  "files": {/,/^  },/d; s/"format": 2/"format": 1/' toy/out/first/training/step.json
      rm toy/out/first/training/owner.json
      """)
    #expect(try command.read("toy/out/first/training/step.json").contains("sha256") == false)
    let kept = try command.run("run", command.path("toy/toy.yaml"))
    #expect(kept.output.components(separatedBy: "is committed already").count == 3, "\(kept.said)")
    try command.shell(": >toy/out/first/config.json")
    let result = try command.run("run", command.path("toy/toy.yaml"))
    #expect(result.output.contains("config.json is empty"), "\(result.said)")
  }

  @Test func `another step's student is not replaced, but a step may get another name`() throws {
    let command = try trained()
    let renamed = try command.run("run", command.path("toy/toy.yaml"), "--set", "steps.1.step_id=last")
    #expect(renamed.code == 0 && renamed.output.components(separatedBy: "is committed already").count == 3)
    let other = ["--set", "steps.1.step_id=last", "--set", "steps.1.hyperparams.alpha=0.5"]
    let refused = try command.run(["run", command.path("toy/toy.yaml")] + other)
    #expect(refused.code == 2 && refused.errors.contains("the work of step second"), "\(refused.said)")
    let allowed = try command.run(["run", command.path("toy/toy.yaml"), "--overwrite"] + other)
    #expect(allowed.code == 0, "\(allowed.said)")
  }

  @Test func `--fresh refuses any output`() throws {
    let command = try trained()
    let result = try command.run("run", command.path("toy/toy.yaml"), "--fresh")
    #expect(result.code == 2 && result.errors.contains("is not empty"), "\(result.said)")
  }
}
