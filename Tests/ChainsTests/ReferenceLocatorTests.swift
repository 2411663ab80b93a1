import Foundation
import Platform
import TestSupport
import Testing

@testable import Chains

/// A directory tree that goes away with the test.
private final class Tree {
  let root: String
  init() throws { root = normalPath(try Shared.temporaryDirectory("locator")) }
  deinit { try? FileManager.default.removeItem(atPath: root) }

  /// Makes files with their directories.
  func add(_ names: String..., text: String = "{}") throws {
    for name in names {
      try makeDirectory((joinPath(root, name) as NSString).deletingLastPathComponent)
      try writeFileAtomically(joinPath(root, name), text)
    }
  }

  func locator(_ environment: [String: String] = [:], modelsRoot: String? = nil) -> ModelLocator {
    ModelLocator(
      chainFile: root + "/chains/c.yaml", modelsRoot: modelsRoot, environment: environment,
      workingDirectory: root + "/work")
  }

  /// A path without the tree's root.
  func short(_ path: String) -> String { path.replacingOccurrences(of: root + "/", with: "") }
}

private func refusal(_ body: () throws -> Void) -> RetortError? {
  do {
    try body()
    return nil
  } catch { return RetortError.wrap(error) }
}

@Suite("A reference in a chain file")
struct ReferenceLocatorTests {
  private let chain = """
    distillation_chain:
      metadata: {dataset: org/glue, task: sst2}
      steps:
        - {step_id: first, student_base: base, output_dir: ./out/first/}
        - {step_id: second, student_base: base, output_dir: out/second}
        - {step_id: third, student_base: base, output_dir: out/third}
    """

  @Test("is a directory beside the chain file first, then in the working directory, then an absolute one")
  func directories() throws {
    let tree = try Tree()
    try tree.add("chains/m/config.json", "work/m/config.json", "work/n/config.json", "home/h/config.json")
    let locator = tree.locator(["HOME": tree.root + "/home"])
    #expect(tree.short(try locator.locate("m").path) == "chains/m")
    #expect(tree.short(try locator.locate("./n").path) == "work/n")
    #expect(tree.short(try locator.locate("../work/m").path) == "work/m")
    #expect(try locator.locate(tree.root + "/work/n/").path == tree.root + "/work/n")
    #expect(tree.short(try locator.locate("~/h").path) == "home/h")
    #expect(try locator.locate("m").source == .directory)
  }

  @Test("is a hub id below the models root, then in the caches by refs/main or by their only snapshot")
  func hub() throws {
    let tree = try Tree()
    let home = tree.root + "/home"
    try tree.add(
      "root/org/a/config.json", "home/.cache/huggingface/hub/models--org--a/snapshots/r1/config.json",
      "home/.cache/huggingface/hub/models--org--b/snapshots/r1/config.json",
      "home/.cache/huggingface/hub/models--org--b/snapshots/r2/config.json",
      "hf/hub/models--org--c/snapshots/r3/config.json", "cache/models--d/snapshots/r4/config.json",
      "root/models--org--e/snapshots/r5/config.json")
    try tree.add("home/.cache/huggingface/hub/models--org--b/refs/main", text: "r2\n")
    let environment = [
      "HOME": home, "HF_HOME": tree.root + "/hf", "HF_HUB_CACHE": tree.root + "/cache",
      "RETORT_MODELS": tree.root + "/root",
    ]
    let locator = tree.locator(environment)
    #expect(tree.short(try locator.locate("org/a").path) == "root/org/a")
    #expect(try locator.locate("org/a").source == .modelsRoot)
    #expect(try locator.locate("org/b").path.hasSuffix("models--org--b/snapshots/r2"))
    #expect(try locator.locate("org/b").source == .cache(revision: "r2"))
    #expect(tree.short(try locator.locate("org/c").path) == "hf/hub/models--org--c/snapshots/r3")
    #expect(tree.short(try locator.locate("d").path) == "cache/models--d/snapshots/r4")
    #expect(tree.short(try locator.locate("org/e").path) == "root/models--org--e/snapshots/r5")
    #expect(try tree.locator(["HOME": home]).locate("org/a").source == .cache(revision: "r1"))
    let option = tree.locator(["RETORT_MODELS": Shared.nowhere], modelsRoot: "../root")
    #expect(tree.short(try option.locate("org/a").path) == "root/org/a")
  }

  @Test("is an earlier step by its step_id or by its output directory, before that directory exists")
  func steps() throws {
    let tree = try Tree()
    let parsed = try ChainConfiguration(parsing: chain, file: tree.root + "/chains/c.yaml")
    let locator = tree.locator()
    let byName = try locator.locate("first", for: 1, in: parsed)
    #expect(tree.short(byName.path) == "chains/out/first")
    #expect(byName.source == .step(0))
    #expect(try locator.locate("out/second", for: 2, in: parsed).source == .step(1))
    #expect(tree.short(locator.outputDirectory(of: parsed.steps[2])) == "chains/out/third")
    let own = refusal { _ = try locator.locate("./out/second", for: 1, in: parsed) }
    #expect(own?.kind == .configuration)
    #expect(own?.what == "\"./out/second\" is this step's own output")
    #expect(
      refusal { _ = try locator.locate("third", for: 1, in: parsed) }?.what.contains("later step \"third\"") == true)
    let typo = refusal { _ = try locator.locate("frist", for: 1, in: parsed) }
    #expect(typo?.kind == .input)
    #expect(typo?.location == "\(tree.root)/chains/c.yaml:5: steps.1.teacher")
    #expect(typo?.remedy?.hasPrefix("did you mean the step \"first\"?") == true)
  }

  @Test("that is found nowhere is an input error with every place and the way to get it")
  func missing() throws {
    let tree = try Tree()
    try tree.add("chains/org/x/model.bin", "home/.cache/huggingface/hub/models--org--x/snapshots/r1/a")
    try tree.add("home/.cache/huggingface/hub/models--org--x/snapshots/r2/a")
    let locator = tree.locator(["HOME": tree.root + "/home", "RETORT_MODELS": tree.root + "/root"])
    let error = try #require(refusal { _ = try locator.locate("org/x") })
    #expect(error.kind == .input)
    #expect(
      tree.short(error.what)
        == "no model directory \"org/x\"; searched: chains/org/x (has no config.json); work/org/x (does not exist); "
        + "root/org/x (does not exist); home/.cache/huggingface/hub/models--org--x/snapshots "
        + "(2 snapshots and no refs/main to choose)")
    #expect(error.remedy?.contains("huggingface-cli download org/x") == true)
    #expect(error.remedy?.contains("RETORT_MODELS") == true)
    let path = try #require(refusal { _ = try locator.locate("./org/y") })
    #expect(!path.description.contains("huggingface"))
  }

  @Test("to a data set is a directory with both splits, a task's own directory first")
  func datasets() throws {
    let tree = try Tree()
    try tree.add(
      "chains/org/glue/sst2/train.tsv", "chains/org/glue/sst2/dev.tsv", "work/plain/train.jsonl",
      "work/plain/validation.csv", "home/.cache/huggingface/hub/datasets--org--d/snapshots/r1/train.csv",
      "home/.cache/huggingface/hub/datasets--org--d/snapshots/r1/dev.csv")
    let locator = tree.locator(["HOME": tree.root + "/home"])
    let parsed = try ChainConfiguration(parsing: chain, file: tree.root + "/chains/c.yaml")
    let glue = try locator.locateDataset(of: parsed)
    #expect(tree.short(glue.train.name) == "chains/org/glue/sst2/train.tsv")
    #expect(tree.short(glue.validation.name) == "chains/org/glue/sst2/dev.tsv")
    let plain = try locator.locateDataset(.path("plain"), task: "sst2")
    #expect(tree.short(plain.train.name) == "work/plain/train.jsonl")
    #expect(tree.short(plain.validation.name) == "work/plain/validation.csv")
    #expect(try locator.locateDataset(.path("org/d")).source == .cache(revision: "r1"))
    let files = try locator.locateDataset(.files(train: ["plain/train.jsonl"], validation: ["org/glue/sst2/dev.tsv"]))
    #expect(tree.short(files.train.name) == "work/plain/train.jsonl")
    #expect(tree.short(files.validation.name) == "chains/org/glue/sst2/dev.tsv")
  }

  @Test("to a data set that lacks a split, has a file twice or is parquet says so")
  func badDatasets() throws {
    let tree = try Tree()
    try tree.add(
      "work/a/train.tsv", "work/b/train.tsv", "work/b/train.csv", "work/c/train-0.parquet", "work/d/train.tsv")
    try tree.add("work/b/dev.tsv", "work/d/dev.tsv", "work/d/validation.tsv")
    func message(_ reference: DatasetReference) -> String {
      let error = refusal { _ = try tree.locator().locateDataset(reference) }
      #expect(error?.kind == .input)
      return tree.short(error?.what ?? "accepted")
    }
    #expect(message(.path("a")).hasPrefix("the validation split is missing: no validation.*, valid.*, val.* or dev.*"))
    #expect(message(.path("b")).contains("are all there, and only one can be meant"))
    #expect(message(.path("c")).contains("only parquet files, which Retort does not read"))
    #expect(try tree.locator().locateDataset(.path("d")).validation.name.hasSuffix("validation.tsv"))
    #expect(message(.files(train: ["a/none.tsv"], validation: ["x"])).contains("no data file \"a/none.tsv\""))
    let parsed = try ChainConfiguration(parsing: chain, file: "c.yaml")
    let located = refusal { _ = try tree.locator().locateDataset(of: parsed) }
    #expect(located?.location == "c.yaml:2: metadata.dataset")
    #expect(located?.remedy?.contains("huggingface-cli download --repo-type dataset org/glue") == true)
  }
}
