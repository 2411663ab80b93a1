import Platform
import Testing

@testable import Chains

@Suite("--set and ${NAME} in a chain file")
struct ConfigurationOverrideTests {
  private let chain = """
    distillation_chain:
      metadata: {dataset: data}
      steps:
        - step_id: one.a
          student_base: base
          output_dir: out/one
          hyperparams: {batch_size: 8}
        - student_base: base
          output_dir: out/two
    """

  private func parsed(_ overrides: String...) throws -> ChainConfiguration {
    try ChainConfiguration(parsing: chain, file: "c.yaml", overrides: overrides)
  }

  private func refusal(_ override: String) -> String {
    do {
      _ = try parsed(override)
      return "accepted"
    } catch {
      #expect(RetortError.wrap(error).kind == .configuration)
      return "\(error)"
    }
  }

  @Test("an override replaces or adds a value, by index, by step_id or in all steps; later ones win")
  func overrides() throws {
    let result = try parsed(
      "steps.0.hyperparams.batch_size=64", "distillation_chain.steps.one.a.hyperparams.optimizer.betas=[0.5, 0.6]",
      "steps.step_2.hyperparams.temperature=1e1", "steps.*.hyperparams.precision=fp32", "metadata.name=a=b",
      "metadata.task.text=body", "parallel.threads_per_rank=1", "parallel.threads_per_rank=3", "steps.1.teacher=null")
    let values = result.steps.map(\.hyperparameters)
    #expect(values.map(\.batchSize) == [64, 32])
    #expect(values[0].optimizer.beta1 == 0.5)
    #expect(values.map(\.plain.temperature) == [2, 10])
    #expect(values.map(\.precision) == [.fp32, .fp32])
    #expect(result.metadata.name == "a=b")
    #expect(result.metadata.task.text == "body")
    #expect(result.parallel.threadsPerRank == 3)
    #expect(result.steps[1].teacher == .none)
    #expect(result.steps[0].source.location(of: "hyperparams.batch_size") == "--set steps.0.hyperparams.batch_size")
    #expect(result.steps[0].source.lines["hyperparams.batch_size"] == nil)
  }

  @Test("a wrong path or value is refused under the name of the option")
  func refusals() {
    #expect(
      refusal("steps") == "--set steps: is not KEY=VALUE. Write for example --set steps.0.hyperparams.batch_size=64.")
    #expect(
      refusal("steps.5.hyperparams.batch_size=1")
        == "--set steps.5.hyperparams.batch_size: steps has no item \"5\". "
        + "Use an index from 0 to 1, or a step_id: one.a, step_2.")
    #expect(
      refusal("steps.0.hyperparams.batch_sise=1").hasPrefix(
        "--set steps.0.hyperparams.batch_sise: unknown key; did you mean \"batch_size\"?"))
    #expect(
      refusal("steps.0.hyperparams.batch_size=0").hasPrefix(
        "--set steps.0.hyperparams.batch_size: is 0, which is outside the allowed range"))
    #expect(refusal("metadata.dataset.train=f").contains("metadata.dataset is \"data\", which has no \"train\" in it"))
    #expect(refusal("metadata..name=f").contains("has an empty name in its path"))
    #expect(refusal("metadata.name=[1").hasPrefix("--set metadata.name: is not valid YAML"))
    #expect(refusal("metdata.name=f").contains("unknown key; did you mean \"metadata\"?"))
  }

  @Test("environment references in values are expanded")
  func environment() throws {
    func name(_ text: String, _ environment: [String: String] = ["A": "x", "EMPTY": "", "N": "16"]) throws -> String {
      let yaml = oneStep("batch_size: ${N:-4}").replacingOccurrences(of: "dataset: data", with: "dataset: \"\(text)\"")
      let chain = try ChainConfiguration(parsing: yaml, file: "c.yaml", environment: environment)
      #expect(chain.steps[0].hyperparameters.batchSize == (environment["N"] == nil ? 4 : 16))
      guard case .path(let path) = chain.metadata.dataset else { return "" }
      return path
    }
    #expect(try name("${A}/b/${A}") == "x/b/x")
    #expect(try name("${B:-/some/where}/c") == "/some/where/c")
    #expect(try name("${EMPTY:-y}${EMPTY}") == "y")
    #expect(try name("$${A} $A", [:]) == "${A} $A")
    func refusal(_ text: String) -> String {
      do { return try name(text, [:]) } catch { return "\(error)" }
    }
    #expect(
      refusal("a/${MODELS}")
        == "c.yaml:2: metadata.dataset: the environment variable MODELS is not set. "
        + "Export MODELS=…, or give a default: ${MODELS:-…}.")
    #expect(refusal("${A").contains("has \"${\" without \"}\""))
    #expect(refusal("${A B}").contains("does not name an environment variable"))
  }

  @Test("an environment reference may stand for null")
  func null() throws {
    let yaml = chain.replacingOccurrences(
      of: "student_base: base\n      output_dir: out/two",
      with: "student_base: base\n      teacher: ${T:-null}\n      output_dir: out/two")
    #expect(try ChainConfiguration(parsing: yaml).steps[1].teacher == .none)
    #expect(try ChainConfiguration(parsing: yaml, environment: ["T": "t"]).steps[1].teacher.references == ["t"])
  }
}
