import Collectives
import Foundation
import Platform
import Tokenizers

/// The permissions of a run on output directories.
package struct OutputPermissions: Sendable {
  /// Allows writing to a directory with files that Retort did not write.
  package var overwrites = false
  /// Allows taking a directory from the run that holds its lock.
  package var breaksLocks = false
  /// Refuses any existing output.
  package var isFresh = false

  /// Creates the default: no permission is given.
  package init() {}
}

extension ChainRunner {
  /// Refuses unusable or protected output directories before training starts, without changing them. Collective.
  ///
  /// Throws `.configuration` for a directory that is an input of the chain, that is inside another step's, or that has
  /// files and no record of Retort, unless overwriting is permitted; `.checkpoint` for a directory that cannot be
  /// written.
  package func checkOutputs() throws {
    try onFirst {
      if permissions.isFresh { try requireNoOutputs() }
      for step in plan.steps {
        do { try requireWritable(directory: step.outputDirectory) } catch {
          throw RetortError.wrap(error).located(step.configuration.source.location(of: "output_dir"))
        }
      }
      try requireSeparateOutputs()
      for step in plan.steps {
        if let refusal = try foreign(step) { throw refusal }
      }
    }
  }

  /// Locks the output directories of all steps for this run, completes the interrupted commits of killed runs, and
  /// reports what the run does with each step. Collective.
  ///
  /// - Parameter command: the command line, for the messages of other runs.
  /// Throws `.preflight` if another run holds a directory, with the holder's host, process and start; the errors of
  /// `checkOutputs`; `.configuration` for the student of another step that would be replaced.
  package func takeOutputs(command: String) throws {
    try onFirst {
      locks = try OutputLocks(
        plan.steps.map { realPath($0.outputDirectory) }, as: LockHolder(command: command),
        breaking: permissions.breaksLocks, note: observer.note)
    }
    // Repeated under the lock, since another run may have changed a directory after the first check.
    try checkOutputs()
    try onFirst {
      for step in plan.steps {
        guard fileExists(joinPath(step.outputDirectory, "training/commit")) else { continue }
        try StepCommit(step.outputDirectory, fence: fence(of: step)).recover()?.forEach(observer.note)
      }
    }
    looks = try look()
    for look in looks { observer.foresaw(look.outlook) }
  }

  /// Releases the locks of the output directories, if held.
  package func releaseOutputs() {
    locks?.release()
    locks = nil
  }

  /// The fence that every rename in a step's directory checks; nil except on rank 0, the only rank that writes.
  func fence(of step: ResolvedStep) -> (any WriteFence)? { locks?.fence(of: realPath(step.outputDirectory)) }

  /// Runs `body` on rank 0, and throws its error on all ranks. Collective.
  func onFirst(_ body: () throws -> Void) throws {
    var failure: RetortError?
    if communicator.isFirst {
      do { try body() } catch { failure = RetortError.wrap(error) }
    }
    try communicator.share(failure)
  }

  /// Refuses to continue if any output exists (`--fresh`).
  private func requireNoOutputs() throws {
    for step in plan.steps where OutputDirectory(path: step.outputDirectory).hasOutput {
      throw RetortError(
        .configuration, "the output directory of step \(step.id) is not empty", at: step.outputDirectory,
        remedy: "remove it, choose another output_dir, or run without --fresh to continue")
    }
  }

  /// Checks that each directory belongs to one step and contains none of the models that the chain reads.
  private func requireSeparateOutputs() throws {
    let outputs = plan.steps.map { realPath($0.outputDirectory) }
    func refusal(_ step: ResolvedStep, _ what: String, _ remedy: String) -> RetortError {
      RetortError(
        .configuration, what, at: "\(step.configuration.source.location(of: "output_dir")), \(step.outputDirectory)",
        remedy: remedy)
    }
    for (index, step) in plan.steps.enumerated() {
      for (earlier, other) in plan.steps.prefix(index).enumerated() {
        let (own, theirs) = (outputs[index], outputs[earlier])
        if own == theirs {
          throw refusal(step, "is the output_dir of step \(other.id) as well", "give each step its own directory")
        }
        if isInside(own, theirs) || isInside(theirs, own) {
          throw refusal(
            step, "and the output_dir of step \(other.id), \(other.outputDirectory), lie one in the other",
            "put them beside each other")
        }
      }
      for (path, what) in inputs() {
        let real = realPath(path)
        if real == outputs[index] {
          throw refusal(
            step, "is the directory of \(what), which the student would replace", "choose another output_dir")
        }
        if isInside(real, outputs[index] + "/training") {
          throw refusal(step, "has \(what) in its training/, which belongs to the run", "move it, or choose another")
        }
      }
      for file in files() where parentDirectory(of: realPath(file)) == outputs[index] {
        if StudentFiles.isModelFile(fileName(of: file)) {
          throw refusal(step, "holds \(file), which the student would replace", "choose another output_dir")
        }
      }
      if let link = danglingLink(step.outputDirectory) {
        throw refusal(step, "\(link) is a link to what is not there", "make its target, or choose another output_dir")
      }
    }
  }

  /// The directories from which the chain reads models and tokenizers, except earlier steps' outputs.
  private func inputs() -> [(path: String, what: String)] {
    var found: [(String, String)] = []
    for step in plan.steps {
      for teacher in step.teachers {
        if case .directory(let path) = teacher.model.place {
          found.append((path, "\(step.teachers.count == 1 ? "the" : "a") teacher of step \(step.id)"))
        }
      }
      if case .directory(let path)? = step.student.origin.place {
        found.append((path, "the model that step \(step.id) begins from"))
      }
      for file in step.student.tokenizer?.files ?? [] {
        let folder = parentDirectory(of: file)
        // A student of an earlier run may be the source of the tokenizer: it gets the same files again.
        if (try? OutputDirectory(path: folder).content()) != .ours {
          found.append((folder, "the tokenizer of step \(step.id)"))
        }
      }
    }
    return found
  }

  /// The chain file and the data files.
  private func files() -> [String] {
    let data = try? plan.locator.locateDataset(of: plan.chain)
    return [plan.chain.metadata.source.file] + (data.map { $0.train.paths + $0.validation.paths } ?? [])
  }

  /// The refusal to write to a step's directory without permission; nil if writing is allowed.
  func foreign(_ step: ResolvedStep) throws -> RetortError? {
    guard !permissions.overwrites else { return nil }
    guard case .foreign(let names) = try OutputDirectory(path: step.outputDirectory).content() else { return nil }
    let training = names == ["training"] ? "training, which no run of Retort wrote" : OutputDirectory.list(names)
    return RetortError(
      .configuration, "the directory is not empty and was not written by Retort: it has \(training)",
      at: "\(step.configuration.source.location(of: "output_dir")), \(step.outputDirectory)",
      remedy: "choose another output_dir; or run with --overwrite, which puts the student there and keeps the files "
        + "that it takes the place of in training/replaced")
  }
}

/// Whether a path is inside a directory; both without symbolic links.
private func isInside(_ path: String, _ directory: String) -> Bool {
  path.hasPrefix(directory.hasSuffix("/") ? directory : directory + "/")
}

/// The path with the symbolic links of its existing part resolved; the missing part is appended unchanged.
func realPath(_ path: String) -> String {
  var (head, tail) = (path, [String]())
  while true {
    if let real = realpath(head.isEmpty ? "." : head, nil) {
      defer { free(real) }
      return tail.reversed().reduce(String(cString: real)) { joinPath($0, $1) }
    }
    let parent = parentDirectory(of: head)
    if head.isEmpty || parent == head { return path }
    tail.append(fileName(of: head))
    head = parent
  }
}

/// The longest existing prefix of a path if it is a dangling symbolic link; nil otherwise.
private func danglingLink(_ path: String) -> String? {
  var next = path
  while !next.isEmpty, next != "/" {
    var info = stat()
    if lstat(next, &info) == 0 {
      return (info.st_mode & S_IFMT) == S_IFLNK && !fileExists(next) ? next : nil
    }
    next = parentDirectory(of: next)
  }
  return nil
}
