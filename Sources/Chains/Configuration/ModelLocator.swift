import Foundation
import Platform

/// Finds the directories of references in a chain file or on a command line.
///
/// An input path is relative to the chain file's directory, else to the working directory; an `output_dir` is relative
/// to the chain file's directory. A hub id is tried as such a path, then below the models root, then in the Hugging
/// Face caches. Nothing is ever downloaded.
package struct ModelLocator: Sendable {
  let chainDirectory: String
  let workingDirectory: String
  let modelsRoot: String?
  let environment: [String: String]

  /// - Parameters:
  ///   - chainDirectory: the directory of the chain file; nil without one.
  ///   - modelsRoot: `--models-root`; nil: `RETORT_MODELS` of the environment, if it is set.
  package init(
    chainDirectory: String? = nil, modelsRoot: String? = nil,
    environment: [String: String] = ProcessInfo.processInfo.environment,
    workingDirectory: String = FileManager.default.currentDirectoryPath
  ) {
    self.environment = environment
    self.workingDirectory = workingDirectory
    self.chainDirectory = normalPath(chainDirectory ?? ".", from: workingDirectory)
    let root = modelsRoot ?? environment["RETORT_MODELS"].flatMap { $0.isEmpty ? nil : $0 }
    self.modelsRoot = root.map { normalPath($0, from: workingDirectory) }
  }

  /// A locator for the references of one chain file.
  package init(
    chainFile: String, modelsRoot: String? = nil,
    environment: [String: String] = ProcessInfo.processInfo.environment,
    workingDirectory: String = FileManager.default.currentDirectoryPath
  ) {
    let directory = parentDirectory(of: chainFile)
    self.init(
      chainDirectory: directory, modelsRoot: modelsRoot, environment: environment, workingDirectory: workingDirectory)
  }

  /// The absolute output directory of a step.
  package func outputDirectory(of step: StepConfiguration) -> String {
    normalPath(expandingHome(step.outputDirectory), from: chainDirectory)
  }

  /// The same name below the working directory, where earlier versions put it; nil if that is the same directory.
  func workingOutputDirectory(of step: StepConfiguration) -> String? {
    let path = normalPath(expandingHome(step.outputDirectory), from: workingDirectory)
    return path == outputDirectory(of: step) ? nil : path
  }

  /// The model of a step's reference: the output of an earlier step, by its `step_id` or its path, or a directory.
  ///
  /// - Parameters:
  ///   - step: the index of the step that uses it.
  ///   - key: the step's key with the reference, for the message.
  /// - Throws: `.configuration` for this or a later step; `.input` for a model that is not found, with the places.
  package func locate(_ reference: String, for step: Int, in chain: ChainConfiguration, key: String = "teacher") throws
    -> Located
  {
    let location = chain.steps[step].source.location(of: key)
    if let used = chain.index(ofStep: reference) ?? stepWriting(reference, chain) {
      guard used < step else {
        let which = used == step ? "this step's own output" : "the output of the later step \"\(chain.steps[used].id)\""
        throw RetortError(
          .configuration, "\"\(reference)\" is \(which)", at: location,
          remedy: "name an earlier step, another path or a hub id")
      }
      return Located(reference: reference, path: outputDirectory(of: chain.steps[used]), source: .step(used))
    }
    do { return try locate(reference) } catch {
      var refusal = RetortError.wrap(error).located(location)
      if let near = nearestName(to: reference, among: chain.steps.prefix(step).map(\.id)), !reference.contains("/") {
        refusal.remedy = "did you mean the step \"\(near)\"? Otherwise \(refusal.remedy ?? "name a directory")"
      }
      throw refusal
    }
  }

  /// The step with this output directory, which need not exist yet.
  private func stepWriting(_ reference: String, _ chain: ChainConfiguration) -> Int? {
    let candidates = directCandidates(reference)
    return chain.steps.firstIndex { candidates.contains(outputDirectory(of: $0)) }
  }

  /// The model directory of a path or a hub id: one with a `config.json`.
  ///
  /// - Throws: `.input` with every searched place and a way to provide the model.
  package func locate(_ reference: String) throws -> Located {
    var log = SearchLog()
    let found = search(reference, .models, &log) { path, log in
      if fileExists(joinPath(path, "config.json")) { return path }
      let reason = absenceText(joinPath(path, "config.json"))
      if reason != "does not exist" {
        log.missed(path, reason)
      } else {
        log.missed(
          path, isDirectory(path) ? "has no config.json" : fileExists(path) ? "not a directory" : "does not exist")
      }
      return nil
    }
    if let found { return Located(reference: reference, path: found.value, source: found.source) }
    throw RetortError(
      .input, "no model directory \"\(reference)\"\(log.text)", remedy: remedy(reference, .models))
  }

  func remedy(_ reference: String, _ kind: HubCache.Kind) -> String {
    guard HubCache.isIdentifier(reference), reference.contains("/") else {
      return "give the path of a directory, relative to the chain file or the working directory"
    }
    let option = kind == .datasets ? "--repo-type dataset " : ""
    return "download it with: huggingface-cli download \(option)\(reference); or set RETORT_MODELS (--models-root) to "
      + "the directory that contains \(reference)"
  }

  /// Tries the places of a reference in order until `accept` returns a value for one.
  func search<Value>(
    _ reference: String, _ kind: HubCache.Kind, _ log: inout SearchLog,
    accept: (String, inout SearchLog) -> Value?
  ) -> (value: Value, source: Located.Source)? {
    for path in directCandidates(reference) {
      if let value = accept(path, &log) { return (value, .directory) }
    }
    guard HubCache.isIdentifier(reference) else { return nil }
    if let modelsRoot {
      if let value = accept(joinPath(modelsRoot, reference), &log) { return (value, .modelsRoot) }
      // A models root may also be a copy of a cache.
      var unused = SearchLog()
      if let snapshot = HubCache(root: modelsRoot).snapshot(of: reference, kind, &unused),
        let value = accept(snapshot.path, &log)
      {
        return (value, .cache(revision: snapshot.revision))
      }
    }
    for root in HubCache.roots(environment) {
      if let snapshot = HubCache(root: root).snapshot(of: reference, kind, &log),
        let value = accept(snapshot.path, &log)
      {
        return (value, .cache(revision: snapshot.revision))
      }
    }
    return nil
  }

  /// The path itself if it is absolute, else the paths below the chain file's directory and the working directory.
  func directCandidates(_ reference: String) -> [String] {
    let path = expandingHome(reference)
    let inChain = normalPath(path, from: chainDirectory)
    let inWork = normalPath(path, from: workingDirectory)
    return inChain == inWork ? [inChain] : [inChain, inWork]
  }

  private func expandingHome(_ path: String) -> String {
    guard path == "~" || path.hasPrefix("~/"), let home = environment["HOME"], !home.isEmpty else { return path }
    return home + path.dropFirst()
  }
}
