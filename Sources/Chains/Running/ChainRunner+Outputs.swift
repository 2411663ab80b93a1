import Collectives
import Foundation
import Platform
import Tokenizers

/// How a run may treat output directories.
public struct OutputPermissions: Sendable {
  /// A directory with files of others may be written to.
  public var overwrites = false
  /// A directory is taken from the run that holds it.
  public var breaksLocks = false
  /// Anything that is there is refused.
  public var isFresh = false

  /// What is allowed where nobody says otherwise: nothing of it.
  public init() {}
}

extension ChainRunner {
  /// Refuses outputs that cannot be, or may not be written, before hours go into them; looks only. Collective.
  ///
  /// Throws `.configuration` for a directory that is an input of the chain, that lies in another step's, or that has
  /// files and no record of Retort, unless these may be overwritten; `.checkpoint` for one that cannot be written.
  public func checkOutputs() throws {
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

  /// Takes the output directories of all steps for this run, brings to its end what a killed run had begun, and says
  /// what is done with each step. Collective.
  ///
  /// - Parameter command: the command line, for the messages of other runs.
  /// Throws `.preflight` where another run has one of them, with the holder's host, process and start; what
  /// `checkOutputs` throws; `.configuration` for a student of another step that would be replaced.
  public func takeOutputs(command: String) throws {
    try onFirst {
      locks = try OutputLocks(
        plan.steps.map { realPath($0.outputDirectory) }, as: LockHolder(command: command),
        breaking: permissions.breaksLocks, note: observer.note)
    }
    // Once more: what was seen before may have been another run's beginning.
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

  /// Gives the output directories back; nothing where none were taken.
  public func releaseOutputs() {
    locks?.release()
    locks = nil
  }

  /// What is asked before anything in a step's directory is renamed; nil elsewhere than on rank 0, which alone writes.
  func fence(of step: ResolvedStep) -> (any WriteFence)? { locks?.fence(of: realPath(step.outputDirectory)) }

  /// Runs `body` on rank 0, and throws on all ranks what it throws. Collective.
  func onFirst(_ body: () throws -> Void) throws {
    var failure: RetortError?
    if communicator.isFirst {
      do { try body() } catch { failure = RetortError.wrap(error) }
    }
    try communicator.share(failure)
  }

  /// Refuses to go on when any output exists (`--fresh`).
  private func requireNoOutputs() throws {
    for step in plan.steps where OutputDirectory(path: step.outputDirectory).hasOutput {
      throw RetortError(
        .configuration, "the output directory of step \(step.id) is not empty", at: step.outputDirectory,
        remedy: "remove it, choose another output_dir, or run without --fresh to continue")
    }
  }

  /// A directory belongs to one step, and holds none of the models that the chain reads.
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

  /// The directories that the chain reads models and tokenizers from, those of steps left out.
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
        // A student of an earlier run may have lent its tokenizer: it gets the same one again.
        if (try? OutputDirectory(path: folder).content()) != .ours {
          found.append((folder, "the tokenizer of step \(step.id)"))
        }
      }
    }
    return found
  }

  /// The chain file and the files of the data.
  private func files() -> [String] {
    let data = try? plan.locator.locateDataset(of: plan.chain)
    return [plan.chain.metadata.source.file] + (data.map { $0.train.paths + $0.validation.paths } ?? [])
  }

  /// Why a step's directory is not written to without leave; nil where it may be.
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

/// Whether a path lies below a directory; both without links.
private func isInside(_ path: String, _ directory: String) -> Bool {
  path.hasPrefix(directory.hasSuffix("/") ? directory : directory + "/")
}

/// The path without links, as far as it is there; what is not there yet follows as it is written.
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

/// The first part of a path that is a link to nothing; nil where there is none.
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
