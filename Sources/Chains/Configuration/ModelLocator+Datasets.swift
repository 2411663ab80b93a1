import Foundation
import Datasets
import Platform

extension ModelLocator {
  /// The training and validation files of a data set.
  ///
  /// A directory holds `train.*` and `validation.*` or `dev.*`, ending in tsv, csv, jsonl or txt; a task's own
  /// directory inside (`glue/sst2`) is tried first (`DatasetFiles.find`).
  /// - Throws: `.input` with every place looked at and how to get the data there.
  public func locateDataset(_ dataset: DatasetReference, task: String? = nil) throws -> LocatedDataset {
    switch dataset {
    case .files(let train, let validation):
      return LocatedDataset(train: try file(train), validation: try file(validation), source: .directory)
    case .path(let reference):
      var log = SearchLog()
      let found = search(reference, .datasets, &log) { path, log in
        splits(in: path, task: task, &log)
      }
      guard let found else {
        throw RetortError(
          .input, "no data set \"\(reference)\"\(log.text)", remedy: datasetRemedy(reference, task: task))
      }
      return LocatedDataset(train: found.value.train, validation: found.value.validation, source: found.source)
    }
  }

  /// The files of a chain's data set; errors carry the line that names it.
  public func locateDataset(of chain: ChainConfiguration) throws -> LocatedDataset {
    do { return try locateDataset(chain.metadata.dataset, task: chain.metadata.task.name) } catch {
      throw RetortError.wrap(error).located(chain.metadata.source.location(of: "dataset"))
    }
  }

  private func datasetRemedy(_ reference: String, task: String?) -> String {
    let layout = "a data set is a directory with train.* and validation.* or dev.* (tsv, csv, jsonl or txt)"
    guard HubCache.isIdentifier(reference), reference.contains("/") else { return layout }
    let place = task.map { "\(reference)/\($0)" } ?? reference
    return "\(remedy(reference, .datasets)); \(layout), so convert other formats and put them into \(place)"
  }

  /// A data file by its name.
  private func file(_ name: String) throws -> String {
    var log = SearchLog()
    for path in directCandidates(name) {
      if fileExists(path), !isDirectory(path) { return path }
      log.missed(path, isDirectory(path) ? "a directory" : "not there")
    }
    throw RetortError(
      .input, "no data file \"\(name)\"\(log.text)",
      remedy: "give the path of a file, relative to the chain file or the working directory")
  }

  /// The files of both splits, or nil with the reason in the log.
  private func splits(in directory: String, task: String?, _ log: inout SearchLog)
    -> (train: String, validation: String)?
  {
    guard isDirectory(directory) else {
      log.missed(directory, "not there")
      return nil
    }
    do {
      let files = try DatasetFiles.find(inDirectory: directory, task: task)
      if let train = files.train, let validation = files.validation { return (train, validation) }
      log.missed(directory, files.train == nil ? "no train.* in it" : "no validation.* or dev.* in it")
    } catch {
      let refusal = RetortError.wrap(error)
      log.missed(directory, [refusal.what, refusal.remedy].compactMap { $0 }.joined(separator: "; "))
    }
    return nil
  }
}
