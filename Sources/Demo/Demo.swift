import Foundation
import Platform

/// The embedded demo: generated reviews, a vocabulary for them, and a chain file that trains on them.
package enum Demo {
  /// Writes the whole demo into a directory and returns the paths of the files, in the order of writing.
  ///
  ///     data/train.tsv, data/validation.tsv    header sentence<TAB>label; no sentence is in both
  ///     tokenizer/vocab.txt, tokenizer_config.json
  ///     chain.yaml                             written last: a directory that contains it is complete
  ///
  /// - Parameter overwrites: whether existing files with different content are replaced.
  ///
  /// Throws `.configuration` for counts that are not positive or exceed what the grammar can generate and for files
  /// that would be replaced, and `.checkpoint` if the directory cannot be written.
  package static func write(
    to directory: String, trainCount: Int = DemoPlan.trainCount, validationCount: Int = DemoPlan.validationCount,
    seed: UInt64 = DemoPlan.seed, overwrites: Bool = false
  ) throws -> [String] {
    let split = try reviews(trainCount: trainCount, validationCount: validationCount, seed: seed)
    let files = [
      ("data/train.tsv", table(split.train)), ("data/validation.tsv", table(split.validation)),
      ("tokenizer/vocab.txt", DemoVocabulary.text), ("tokenizer/tokenizer_config.json", DemoVocabulary.settings),
      ("chain.yaml", DemoPlan.chainFile),
    ].map { (path: joinPath(directory, $0.0), text: $0.1) }
    if !overwrites { try refuseOthers(files) }
    for file in files {
      try makeDirectory(parentDirectory(of: file.path))
      try writeFileAtomically(file.path, file.text)
    }
    return files.map(\.path)
  }

  /// Throws `.configuration` if a file exists with content that differs from the demo's.
  private static func refuseOthers(_ files: [(path: String, text: String)]) throws {
    for file in files where fileExists(file.path) {
      if try readFile(file.path) != Data(file.text.utf8) {
        throw RetortError(
          .configuration, "exists with different content, which would be lost", at: file.path,
          remedy: "name another directory, or pass --overwrite")
      }
    }
  }

  /// Generates two lists of distinct reviews; no sentence is in both.
  ///
  /// A hash of its text decides the list of a sentence, so the lists are disjoint for every seed and size.
  /// Throws `.configuration` for counts that are not positive or exceed what the grammar can generate.
  package static func reviews(
    trainCount: Int, validationCount: Int, seed: UInt64
  ) throws -> (train: [Review], validation: [Review]) {
    guard trainCount > 0, validationCount > 0 else {
      throw RetortError(
        .configuration, "the demo was asked for \(trainCount) training and \(validationCount) validation reviews",
        remedy: "ask for one or more of each")
    }
    let most = 10_000_000
    if max(trainCount, validationCount) > most {
      throw RetortError(
        .configuration, "the demo was asked for \(grouped(max(trainCount, validationCount))) reviews",
        remedy: "ask for \(grouped(most)) or fewer")
    }
    let generator = ReviewGenerator(seed: seed)
    var train: [Review] = []
    var validation: [Review] = []
    var seen: Set<String> = []
    // About one sentence in eight is for validation; forty draws per review are far more than needed.
    let draws = 40 * (trainCount + validationCount) + 4000
    for index in 0..<draws where train.count < trainCount || validation.count < validationCount {
      let review = generator.review(at: UInt64(index))
      let isValidation = hash(review.text) % 8 == 0
      let isFull = isValidation ? validation.count == validationCount : train.count == trainCount
      if isFull || !seen.insert(review.text).inserted { continue }
      if isValidation { validation.append(review) } else { train.append(review) }
    }
    guard train.count == trainCount, validation.count == validationCount else {
      throw RetortError(
        .configuration,
        "the demo's grammar gave \(train.count) training and \(validation.count) validation reviews in \(draws) draws",
        remedy: "ask for fewer")
    }
    return (train, validation)
  }

  /// FNV-1a over the UTF-8 bytes: the same on every machine, unlike Swift's hashing.
  private static func hash(_ text: String) -> UInt64 {
    var value: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in text.utf8 { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
    return value ^ (value >> 32)
  }

  private static func table(_ reviews: [Review]) -> String {
    var text = "sentence\tlabel\n"
    for review in reviews { text += "\(review.text)\t\(review.label)\n" }
    return text
  }
}
