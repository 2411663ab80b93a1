import Platform

/// The checkpoints in an output directory, for commands that only read: `step-N`, also below `plan-…`.
package enum Checkpoints {
  /// The optimizer steps that have a checkpoint of any plan, in order.
  static func all(in directory: String) -> [Int] { steps(in: directory).map(\.step) }

  /// The last optimizer step with a checkpoint of this plan; nil if there is none. Only its manifest is checked; its
  /// files are read when a run resumes from it.
  package static func newest(in directory: String, plan: String) -> Int? {
    steps(in: directory).last { $0.plan == plan }?.step
  }

  private static func steps(in directory: String) -> [(step: Int, plan: String)] {
    let folder = joinPath(directory, "training/checkpoints")
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
