import Chains
import Foundation
import Models
import Platform
import Training

extension Kinds {
  /// What a training leaves behind, each file damaged in turn: it is continued from what is whole, to the same bytes.
  static func training(_ scratch: String) throws -> [Kind] {
    let folder = joinPath(scratch, "run")
    let student = joinPath(scratch, "student")
    if !fileExists(student) { try write(TinyTraining.run(folder), to: student) }
    let whole = Array(try readFile(student))
    let files = try tree(folder)
    guard let newest = files.last(where: { $0.name.hasSuffix("/state.json") }).map({ parentDirectory(of: $0.name) })
    else {
      throw RetortError(.unexpected, "the training left no checkpoint", at: folder)
    }
    let kinds = files.filter { parentDirectory(of: $0.name) == newest || $0.name.contains("/best/") }.map { file in
      Kind(
        name: "training/" + file.name.split(separator: "/").suffix(2).joined(separator: "/"), seeds: [file.content],
        memory: 512 << 20, slowness: 20, file: "run/" + file.name
      ) { path, folder in
        let run = joinPath(folder, "run")
        let damaged = try readFile(path)
        try? FileManager.default.removeItem(atPath: run)
        for file in files { try write(file.content, to: joinPath(run, file.name)) }
        try write(Array(damaged), to: path)
        if try TinyTraining.run(run) != whole { throw Wrong("was continued to other weights") }
      }
    }
    return kinds + [state(files), manifest(files)].compactMap { $0 }
  }

  /// `state.json` as if its checksum were right.
  private static func state(_ files: [(name: String, content: [UInt8])]) -> Kind? {
    let seeds = files.filter { $0.name.hasSuffix("/state.json") }.map(\.content)
    return Kind(name: "training/state.json", seeds: seeds, file: "state.json") { path, _ in
      let json = try JSON(contentsOf: path)
      let state = try TrainingState(json["state"] ?? .null, stageSteps: [8])
      guard try TrainingState(JSON(parsing: state.json.text()), stageSteps: [8]) == state else {
        throw Wrong("is not read as it is written")
      }
    }
  }

  /// A manifest guards itself: it is as it was written, or damaged.
  private static func manifest(_ files: [(name: String, content: [UInt8])]) -> Kind? {
    guard let manifest = files.first(where: { $0.name.hasSuffix("/\(FileManifest.fileName)") }),
      let json = try? JSON(parsing: Data(manifest.content))
    else { return nil }
    return Kind(name: "training/manifest.json", seeds: [manifest.content], file: FileManifest.fileName) { _, folder in
      let read = try FileManifest(readingFrom: folder)
      _ = read.firstFault(in: folder)
      if read.json != json { throw Wrong("is another one, and was not noticed") }
    }
  }

  /// The records of an output directory.
  static func outputs(_ scratch: String) throws -> [Kind] {
    let student = joinPath(scratch, "student")
    let files: [(name: String, content: [UInt8])] = [
      ("config.json", Array("{}".utf8)), ("model.safetensors", Array("weights".utf8)), ("vocab.txt", Array("a\n".utf8)),
    ]
    for file in files { try write(file.content, to: joinPath(student, file.name)) }
    let inputs: JSON = [
      "step_id": "one", "teacher_name": "t", "teacher": ["digest": "ab", "top_k": 3], "train": "cd", "max_length": 16,
      "student_base": "random", "student_configuration": ["hidden_size": 4], "labels": ["a", "b"],
      "values": ["ce_weight": 0.5, "kd_weight": 0.5, "seed": 42, "optimizer": ["betas": [0.9, 0.999]]],
    ]
    let results: JSON = [
      "model": "bert L1 H4", "parameters": 312, "ratio": 4.5, "teacher": "t", "metric": "accuracy", "value": 0.75,
      "correct": 3, "count": 4, "seconds": 1.5, "examples_per_s": 800.0, "tokens_per_s": 3200.0, "gflops": 1.25,
      "mfu": 0.5, "average": "macro", "counts_tokens": true,
    ]
    let record = joinPath(student, "training/step.json")
    try makeDirectory(joinPath(student, "training"))
    try StepManifest(inputs: inputs, results: results, studentIn: student).write(to: record)
    let seed = Array(try readFile(record))
    // Objectives, stages and several teachers.
    let objective: JSON = ["kind": "hidden_mse", "name": "inner", "weight": 1.0, "layers": ["1": 2], "teacher": "b"]
    var several = inputs.object ?? [:]
    several["more_teachers"] = [["teacher": "ef", "teacher_name": "b", "teacher_precision": "bf16"]]
    several["values"] = .array(
      ["x", "y"].map { stage in
        [
          "stage": .string(stage), "objectives": [objective, ["kind": "forward_kl", "temperature": 2.0]],
          "teachers": [["name": "t", "weight": 0.5], ["name": "b", "weight": 0.5]], "max_steps": 4,
        ]
      })
    try StepManifest(inputs: .object(several), results: results, studentIn: student).write(to: record)
    let second = Array(try readFile(record))
    let committed = Kind(
      name: "output/step.json", seeds: [seed, second], beside: files, file: "training/step.json"
    ) { _, folder in
      _ = try OutputDirectory(path: folder).content()
      guard let manifest = StepManifest.read(from: folder) else { return }
      for known in [inputs, .object(several)] {
        _ = InputComparison.reasons(manifest.inputs, known) + InputComparison.reasons(known, manifest.inputs)
      }
      _ = manifest.differences(in: folder, companions: ["config.json", "vocab.txt"]).map(\.text)
      _ = Checkpoints.newest(in: folder, plan: manifest.plan)
      guard let report = StepReport.committed(manifest.results, id: "one") else { return }
      _ = (report.json.text(), report.rateText, report.countText)
      let other = StepReport.committed(results, id: "two") ?? report
      _ = ChainReport(name: "chain", steps: [report, other, report]).text
    }
    let staged = Kind(
      name: "output/commit/step.json", seeds: [seed], slowness: 4, file: "training/commit/step.json"
    ) { path, folder in
      // A recovery moves and removes: each begins from the same files.
      let damaged = try readFile(path)
      for name in try listDirectory(folder) {
        try? FileManager.default.removeItem(atPath: joinPath(folder, name))
      }
      for file in files { try write(file.content, to: joinPath(folder, "training/commit/\(file.name)")) }
      try write(Array("mine".utf8), to: joinPath(folder, "mine.txt"))
      try write(Array(damaged), to: path)
      _ = try StepCommit(folder, fence: nil).recover()
      guard try readFile(joinPath(folder, "mine.txt")) == Data("mine".utf8) else {
        throw Wrong("replaced another file")
      }
    }
    return [committed, staged] + owners(scratch)
  }

  private static func owners(_ scratch: String) -> [Kind] {
    let lock =
      #"{"boot": "b", "command": "retort run chain.yaml", "directory": "77", "host": "node3", "pid": 4711, "#
      + #""pid_namespace": "pid:[4026531836]", "run": "0123456789abcdef", "since": "2026-01-31 12:00:00 UTC", "#
      + #""start_ticks": "12345"}"# + "\nbeat 000000000007\n"
    let owner =
      #"{"format": 1, "step_id": "one", "chain": "c", "chain_file": "/a/chain.yaml", "plan": "0123456789abcdef"}"#
    return [
      Kind(name: "output/lock", seeds: bytes(lock), file: "training/lock.1") { _, folder in
        _ = OutputLock.holder(of: folder)?.text
        _ = try OutputDirectory(path: folder).content()
      },
      Kind(name: "output/owner.json", seeds: bytes(owner), file: "training/owner.json") { _, folder in
        _ = OwnerRecord.read(from: folder)
        _ = try OutputDirectory(path: folder).content()
      },
    ]
  }

  /// Models that are loaded whole: weights against a configuration.
  static func wholeModels(_ scratch: String) throws -> [Kind] {
    let student = joinPath(scratch, "student")
    if !fileExists(student) { try write(TinyTraining.run(joinPath(scratch, "run")), to: student) }
    let weights = Array(try readFile(student))
    let configuration = Array(TinyTraining.configuration.text(indent: 1).utf8)
    let read: (String, String) throws -> Void = { _, folder in
      _ = try ModelLoader.load(directory: folder)
      _ = try ModelLoader.load(directory: folder, for: .student(head: .fitting), labels: LabelNames(["x", "y", "z"]))
    }
    return [
      Kind(
        name: "model/model.safetensors", seeds: [weights], beside: [("config.json", configuration)],
        seal: sealHeader, file: "model.safetensors", read: read),
      Kind(
        name: "model/config.json", seeds: [configuration], beside: [("model.safetensors", weights)],
        file: "config.json",
        read: read),
    ]
  }
}
