import Collectives
import Foundation
import Models
import Platform
import Tokenizers

extension ChainRunner {
  /// What a run would do with each step, without changing anything. Collective; only rank 0 has the reasons.
  package func outlook() throws -> [StepOutlook] { try look().map(\.outlook) }

  /// The refusal to write to a step's directory in words, for runs that only look; nil if writing is allowed.
  func refusal(of step: ResolvedStep) -> String? {
    do {
      guard let refusal = try foreign(step) else { return nil }
      return refusal.remedy.map { "\(refusal.what) (\($0))" } ?? refusal.what
    } catch { return RetortError.wrap(error).description }
  }

  /// The outlook of each step, with its inputs if they are known before the earlier steps run.
  func look() throws -> [(outlook: StepOutlook, inputs: JSON?)] {
    var (looks, trained) = ([(outlook: StepOutlook, inputs: JSON?)](), Set<Int>())
    for step in plan.steps {
      let look = try look(at: step, after: trained)
      if look.outlook.report == nil { trained.insert(step.index) }
      looks.append(look)
    }
    return looks
  }

  /// The outlook of a step; collective, rank 0 decides.
  ///
  /// - Parameter trained: the earlier steps that will be trained, so that inputs made from them are not known yet.
  func look(at step: ResolvedStep, after trained: Set<Int> = []) throws -> (outlook: StepOutlook, inputs: JSON?) {
    var outlook = StepOutlook(step)
    outlook.totalSteps = plan.totalSteps(of: step)
    let pending = sources(of: step).first { trained.contains($0.index) }
    var inputs: JSON?
    if pending == nil {
      let known = try Trace.span("inputs") { try self.inputs(of: step) }
      try communicator.requireEqual(known.text(), label: "the plan of step \(step.id)")
      inputs = known
    }
    try onFirst { try judge(step, inputs, pending.map(\.what), &outlook) }
    let text = try communicator.broadcast(text: outlook.report?.json.text() ?? "")
    if !communicator.isFirst, !text.isEmpty {
      outlook.report = StepReport.committed(try JSON(parsing: text), id: step.id)
    }
    return (outlook, inputs)
  }

  /// The earlier steps whose students a step reads.
  private func sources(of step: ResolvedStep) -> [(index: Int, what: String)] {
    var found: [(Int, String)] = []
    func add(_ place: ModelPlace, _ what: String) {
      if case .step(let index) = place { found.append((index, "\(what), step \(plan.steps[index].id),")) }
    }
    for teacher in step.teachers { add(teacher.model.place, "its teacher") }
    if let place = step.student.origin.place { add(place, "the model that it begins from") }
    return found
  }

  /// Decides whether the student in a step's directory is complete and made from these inputs.
  ///
  /// - Parameter pending: the source of the step that is trained before it, in words; the inputs are then unknown.
  private func judge(_ step: ResolvedStep, _ inputs: JSON?, _ pending: String?, _ outlook: inout StepOutlook) throws {
    let directory = step.outputDirectory
    if locks == nil {
      outlook.holder = OutputLock.holder(of: directory)
      outlook.refusal = refusal(of: step)
    }
    // A run without a lock leaves a finished commit in its staging directory, and treats it as complete.
    let staged = locks == nil ? StepCommit.staged(in: directory) : nil
    let manifest = staged ?? StepManifest.read(from: directory)
    outlook.hasStudent = manifest != nil
    if fileExists(StepManifest.path(in: directory)), manifest == nil {
      outlook.remarks.append("\(StepManifest.path(in: directory)) cannot be read, so what is there counts as nothing")
    }
    if manifest == nil, let before = plan.locator.workingOutputDirectory(of: step.configuration),
      (try? OutputDirectory(path: before).content()) == .ours
    {
      outlook.remarks.append(
        "\(before) has been written by Retort, and output_dir is relative to the chain file's directory, not to the "
          + "working directory: move it to \(directory) if it is this step's")
    }
    if let manifest {
      if let inputs {
        outlook.reasons = InputComparison.reasons(manifest.inputs, inputs)
        if outlook.reasons.isEmpty { check(step, manifest, isStaged: staged != nil, &outlook) }
      } else {
        outlook.reasons = ["\(pending ?? "what it is made from") is trained before it"]
      }
    }
    let own = inputs.map(StepManifest.plan)
    let committed = outlook.report == nil ? nil : manifest?.plan
    outlook.otherCheckpoint = Checkpoints.other(in: directory, than: [own, committed]).map { other in
      let reasons = inputs.flatMap { now in other.inputs.map { InputComparison.reasons($0, now) } } ?? []
      return StepOutlook.OtherCheckpoint(
        step: other.step, reasons: reasons, pending: inputs == nil ? pending ?? "what it is made from" : nil)
    }
    guard outlook.report == nil else { return }
    if let own { outlook.continuesAfter = Checkpoints.newest(in: directory, plan: own) }
    if let conflict = conflict(step, manifest, isKnown: inputs != nil, outlook) {
      if locks != nil { throw conflict }
      outlook.refusal = outlook.refusal ?? conflict.what
    }
  }

  /// Checks every file of a student with matching inputs: damage that can be repaired without training becomes a
  /// repair, any other damage a reason to train.
  private func check(_ step: ResolvedStep, _ manifest: StepManifest, isStaged: Bool, _ outlook: inout StepOutlook) {
    guard let report = StepReport.committed(manifest.results, id: step.id) else {
      outlook.reasons = ["its results cannot be read"]
      return
    }
    if !isStaged {
      let names = ["config.json"] + (step.student.tokenizer?.files ?? []).map { fileName(of: $0) }
      let differences = manifest.differences(in: step.outputDirectory, companions: names)
      let known = (try? contents(of: step)) ?? [:]
      let lost = differences.filter { difference in
        known[difference.name].map { !manifest.wrote($0, as: difference.name) } ?? true
      }
      guard lost.isEmpty else {
        outlook.reasons = lost.map { "\($0.text) since it was committed" }
        return
      }
      outlook.repairs = differences.map(\.text)
    }
    outlook.report = report
  }

  /// The files of a step's student besides the weights, which the plan determines.
  func contents(of step: ResolvedStep) throws -> [String: Data] {
    try ModelWriter.companions(
      step.student.configuration, tokenizerFiles: studentFiles(of: step), written: writtenFiles(of: step))
  }

  /// A `tokenizer_config.json` that names the tokenizer's class, if the student's type of model has another one.
  func writtenFiles(of step: ResolvedStep) throws -> [String: Data] {
    let configuration = step.student.configuration
    guard let file = step.student.tokenizer?.files.first, let type = configuration.json["model_type"]?.string,
      let settings = try tokenizerConfiguration(
        copiedFrom: parentDirectory(of: file), besideModelType: type,
        modelClass: configuration.json["tokenizer_class"]?.string)
    else { return [:] }
    return ["tokenizer_config.json": settings]
  }

  /// The files copied next to a student's weights: its tokenizer's, and the companions of its base model.
  func studentFiles(of step: ResolvedStep) -> [String] { (step.student.tokenizer?.files ?? []) + companions(of: step) }

  /// The refusal to replace another step's work: a committed student, or checkpoints of an interrupted run; nil without
  /// a conflict.
  private func conflict(_ step: ResolvedStep, _ manifest: StepManifest?, isKnown: Bool, _ outlook: StepOutlook)
    -> RetortError?
  {
    guard !permissions.overwrites, outlook.continuesAfter == nil else { return nil }
    let directory = step.outputDirectory
    let owner = OwnerRecord.read(from: directory)
    let hasWork = manifest != nil || !Checkpoints.all(in: directory).isEmpty
    guard hasWork, let other = manifest?.stepID ?? owner?.stepID, other != step.id else { return nil }
    let from = owner.map { " of chain \($0.chain) (\($0.chainFile))" } ?? ""
    return RetortError(
      .configuration, "the directory has the work of step \(other)\(from), which step \(step.id) would replace",
      at: "\(step.configuration.source.location(of: "output_dir")), \(directory)",
      remedy: "choose another output_dir, or run with --overwrite")
  }
}
