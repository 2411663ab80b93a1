import Platform

/// The checkpoints in an output directory, for commands that only read: `step-N`, also below `plan-…`.
///
/// `inputs-XXXXXXXXXXXX.json` beside them has the inputs of a plan, for the message when they have changed.
package enum Checkpoints {
  /// A checkpoint of another plan.
  struct Other: Equatable {
    /// The optimizer step after which it was written.
    let step: Int
    /// The inputs of its plan; nil for a checkpoint of a version that did not record them.
    let inputs: JSON?
  }

  /// The optimizer steps that have a checkpoint of any plan, in order.
  static func all(in directory: String) -> [Int] { steps(in: directory).map(\.step) }

  /// The last optimizer step with a checkpoint of this plan; nil if there is none. Only its manifest is checked; its
  /// files are read when a run resumes from it.
  package static func newest(in directory: String, plan: String) -> Int? {
    steps(in: directory).last { $0.plan == plan }?.step
  }

  /// The last checkpoint of another plan than these; nil if there is none. With several, that of the plan in
  /// `owner.json`, which ran last.
  static func other(in directory: String, than plans: [String?]) -> Other? {
    let others = steps(in: directory).filter { !plans.contains($0.plan) }
    let last = OwnerRecord.read(from: directory)?.plan
    guard let chosen = others.last(where: { $0.plan == last }) ?? others.last else { return nil }
    let inputs = try? JSON(contentsOf: inputsPath(of: chosen.plan, in: directory))
    return Other(step: chosen.step, inputs: inputs.flatMap { StepManifest.plan(of: $0) == chosen.plan ? $0 : nil })
  }

  /// Records the inputs of a plan before its first checkpoint.
  static func record(_ inputs: JSON, in directory: String) throws {
    let path = inputsPath(of: StepManifest.plan(of: inputs), in: directory)
    if let known = try? JSON(contentsOf: path), known == inputs { return }
    try makeDirectory(folder(in: directory))
    try writeFileAtomically(path, inputs.text(indent: 2) + "\n")
  }

  private static func folder(in directory: String) -> String { joinPath(directory, "training/checkpoints") }

  private static func inputsPath(of plan: String, in directory: String) -> String {
    joinPath(folder(in: directory), "inputs-\(plan.prefix(12)).json")
  }

  private static func steps(in directory: String) -> [(step: Int, plan: String)] {
    let folder = folder(in: directory)
    let names = (try? listDirectory(folder)) ?? []
    let aside = names.filter { $0.hasPrefix("plan-") }.flatMap { plan in
      ((try? listDirectory(joinPath(folder, plan))) ?? []).map { "\(plan)/\($0)" }
    }
    return (names + aside).compactMap { name -> (Int, String)? in
      let last = fileName(of: name)
      guard last.hasPrefix("step-"), let step = Int(last.dropFirst(5)),
        let plan = (try? FileManifest(readingFrom: joinPath(folder, name)))?.facts["plan"]?.string
      else { return nil }
      return (step, plan)
    }.sorted { $0.0 < $1.0 }
  }
}
