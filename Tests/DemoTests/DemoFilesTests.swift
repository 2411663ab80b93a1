import Foundation
import Platform
import TestSupport
import Testing

@testable import Demo

@Suite struct DemoFilesTests {
  @Test func `the demo directory holds data, tokenizer and chain`() throws {
    let directory = try Shared.temporaryDirectory("demo")
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let written = try Demo.write(to: directory, trainCount: 300, validationCount: 50, seed: 1)
    let names = written.map { String($0.dropFirst(directory.count + 1)) }
    #expect(
      names == [
        "data/train.tsv", "data/validation.tsv", "tokenizer/vocab.txt", "tokenizer/tokenizer_config.json", "chain.yaml",
      ])
    let rows = try lines(written[0])
    #expect(rows.count == 301 && rows[0] == "sentence\tlabel")
    #expect(rows.dropFirst().allSatisfy { $0.split(separator: "\t").count == 2 })
    #expect(try lines(written[1]).count == 51)
    #expect(try JSON(contentsOf: written[3])["do_lower_case"] == true)
    #expect(try lines(written[2]) == DemoVocabulary.entries)
  }

  @Test func `written twice, the files are the same`() throws {
    let directory = try Shared.temporaryDirectory("demo")
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let first = try Demo.write(to: directory, trainCount: 100, validationCount: 20, seed: 1).map(readFile)
    let second = try Demo.write(to: directory, trainCount: 100, validationCount: 20, seed: 1).map(readFile)
    #expect(first == second)
  }

  @Test func `no validation sentence is in the training set, and none is there twice`() throws {
    let split = try Demo.reviews(trainCount: 3000, validationCount: 500, seed: 2)
    let train = Set(split.train.map(\.text))
    #expect(train.count == 3000 && Set(split.validation.map(\.text)).count == 500)
    #expect(train.isDisjoint(with: split.validation.map(\.text)))
  }

  @Test func `a set of another seed and size keeps clear of the same validation sentences`() throws {
    let small = try Demo.reviews(trainCount: 100, validationCount: 400, seed: 2)
    let large = try Demo.reviews(trainCount: 4000, validationCount: 10, seed: 3)
    #expect(Set(large.train.map(\.text)).isDisjoint(with: small.validation.map(\.text)))
  }

  @Test func `counts that make no sense are refused`() {
    #expect(throws: RetortError.self) { try Demo.reviews(trainCount: 0, validationCount: 5, seed: 1) }
    #expect(throws: RetortError.self) { try Demo.reviews(trainCount: 5, validationCount: -1, seed: 1) }
  }

  @Test func `the vocabulary holds every word once, special tokens first`() throws {
    let entries = DemoVocabulary.entries
    #expect(Array(entries.prefix(5)) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    #expect(Set(entries).count == entries.count)
    let known = Set(entries)
    for review in try Demo.reviews(trainCount: 3000, validationCount: 10, seed: 5).train {
      let unknown = GrammarLabelTests.tokens(review.text).filter { !known.contains($0) }
      #expect(unknown.isEmpty, "\(review.text)")
    }
  }

  @Test func `the longest review fits`() throws {
    let longest = try Demo.reviews(trainCount: 6000, validationCount: 10, seed: 5).train
      .map { GrammarLabelTests.tokens($0.text).count }.max()
    #expect(try #require(longest) + 2 <= DemoPlan.maxLength)
  }

  @Test func `each step's teacher stands before it, and each student stands beside its direct twin`() {
    var earlier: Set<String> = []
    for step in DemoPlan.steps {
      if let teacher = step.teacher {
        #expect(earlier.contains(teacher))
        let twin = DemoPlan.steps.first { $0.name == step.name + "_direct" }
        #expect(twin?.student.map(\.value) == step.student.map(\.value) && twin?.teacher == nil)
      }
      earlier.insert(step.name)
    }
    #expect(earlier.count == DemoPlan.steps.count)
  }

  private func lines(_ path: String) throws -> [String] {
    String(decoding: try readFile(path), as: UTF8.self).split(separator: "\n").map(String.init)
  }
}
