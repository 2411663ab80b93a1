import Datasets
import Foundation
import Platform

extension ModelLocator {
  /// The training and validation files of a data set.
  ///
  /// A directory has the splits that `DatasetFiles.find` knows; a subdirectory of the task (`glue/sst2`) is tried
  /// first. A test split replaces a missing validation split, with a warning.
  /// - Parameter seed: for the choice of rows, if a share of the training rows is held out.
  /// - Throws: `.input` with every searched place and a way to provide the data; for an existing directory that lacks a
  ///   split, only with that split.
  package func locateDataset(_ dataset: DatasetReference, task: String? = nil, seed: UInt64 = 0) throws
    -> LocatedDataset
  {
    switch dataset {
    case .files(let train, let validation):
      var located = LocatedDataset(
        train: try split(train, \.train, "training", task),
        validation: try split(validation, \.validation, "validation", task),
        source: .directory)
      if let both = located.validation.paths.first(where: { path in
        located.train.paths.contains { isSameFile($0, path) }
      }) {
        located.warnings.append(
          "\(both) is both training and validation data: figures say nothing about new data; hold rows out with "
            + "validation: {share: 0.1}")
      }
      return located
    case .share(let train, let share):
      let all = try split(train, \.train, "training", task)
      return LocatedDataset(
        train: DatasetSplit(all.paths, share: RowShare(share, seed: seed, isHeldOut: false)),
        validation: DatasetSplit(all.paths, share: RowShare(share, seed: seed, isHeldOut: true)), source: .directory)
    case .path(let reference):
      var log = SearchLog()
      // The error of the first existing directory, which is more useful than how to download another one.
      var refusal: RetortError?
      let found = search(reference, .datasets, &log) { path, log in
        splits(in: path, task: task, &log, &refusal)
      }
      guard let found else {
        if let refusal { throw refusal }
        if let file = directCandidates(reference).first(where: { fileExists($0) && !isDirectory($0) }) {
          throw RetortError(
            .input, "\(file) is a file, but a dataset key with a single path names a directory with the splits",
            at: reference,
            remedy: "name the files: dataset: {train: \(reference), validation: FILE}, or hold rows out: dataset: "
              + "{train: \(reference), validation: {share: 0.1}}")
        }
        throw RetortError(
          .input, "no data set \(quoted(reference))\(log.text)", remedy: datasetRemedy(reference, task: task))
      }
      var located = found.value
      located.source = found.source
      return located
    }
  }

  /// The files of a chain's data set; errors carry the line that names it.
  package func locateDataset(of chain: ChainConfiguration) throws -> LocatedDataset {
    let metadata = chain.metadata
    do { return try locateDataset(metadata.dataset, task: metadata.task.name, seed: metadata.seed) } catch {
      throw RetortError.wrap(error).located(metadata.source.location(of: "dataset"))
    }
  }

  private func datasetRemedy(_ reference: String, task: String?) -> String {
    let layout = "a data set is a directory with \(DatasetFiles.layout)"
    guard HubCache.isIdentifier(reference), reference.contains("/") else { return layout }
    let place = task.map { "\(reference)/\($0)" } ?? reference
    return "\(remedy(reference, .datasets)); \(layout), so convert other formats and put them into \(place)"
  }

  /// The files of a split: the named files, or those of the split in a named directory.
  private func split(_ names: [String], _ own: (DatasetFiles) -> DatasetSplit?, _ what: String, _ task: String?) throws
    -> DatasetSplit
  {
    DatasetSplit(
      try names.flatMap { name -> [String] in
        var log = SearchLog()
        for path in directCandidates(name) {
          if isDirectory(path) {
            if let split = own(try DatasetFiles.find(inDirectory: path, task: task)) { return split.paths }
            log.missed(path, "a directory without a \(what) split")
          } else if fileExists(path) {
            return [path]
          } else {
            log.missed(path, "does not exist")
          }
        }
        throw RetortError(
          .input, "no data file \(quoted(name))\(log.text)",
          remedy: "give the path of a file, relative to the chain file or the working directory")
      })
  }

  /// The files of both splits, or nil with the reason in the log.
  private func splits(in directory: String, task: String?, _ log: inout SearchLog, _ refusal: inout RetortError?)
    -> LocatedDataset?
  {
    guard isDirectory(directory) else {
      log.missed(directory, "does not exist")
      return nil
    }
    do {
      let files = try DatasetFiles.find(inDirectory: directory, task: task)
      if let train = files.train, let validation = files.validation {
        return LocatedDataset(train: train, validation: validation, source: .directory)
      }
      if let train = files.train, let test = files.test {
        return LocatedDataset(
          train: train, validation: test, source: .directory,
          warnings: [
            "\(directory) has no validation split: the test split \(test.name) chooses the best student, so its figure "
              + "is no longer a test; hold training rows out with dataset: {train: …, validation: {share: 0.1}}"
          ])
      }
      throw missingSplit(files, directory)
    } catch {
      let found = RetortError.wrap(error)
      log.missed(directory, [found.what, found.remedy].compactMap { $0 }.joined(separator: "; "))
      refusal = refusal ?? found
    }
    return nil
  }

  private func missingSplit(_ files: DatasetFiles, _ directory: String) -> RetortError {
    guard let train = files.train else {
      let there = (files.validation ?? files.test)?.name ?? directory
      return RetortError(
        .input, "the training split is missing: no train.* beside \(fileName(of: there))", at: directory,
        remedy: "add it, or name the files: dataset: {train: FILE, validation: FILE}")
    }
    return RetortError(
      .input,
      "the validation split is missing: no validation.*, valid.*, val.* or dev.* beside \(fileName(of: train.name))",
      at: directory,
      remedy: "add it, name the files: dataset: {train: FILE, validation: FILE}, or hold training rows out: "
        + "dataset: {train: FILE, validation: {share: 0.1}}")
  }
}
