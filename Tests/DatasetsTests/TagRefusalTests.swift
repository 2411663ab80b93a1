import Collectives
import Foundation
import Platform
import TestSupport
import Testing

@testable import Datasets

/// Targets of taggers and of label sets that would be read as something else.
@Suite struct TagRefusalTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private func refusal(_ row: String, _ kind: TaskKind, labels: [String], maxLength: Int? = nil) throws -> RetortError? {
    let path = try scratch.write("r.jsonl", row + "\n")
    do {
      _ = try TokenizedDataset.open(
        DatasetSplit(path), task: TaskDescription(kind: kind), labels: LabelSet(names: labels),
        tokenizer: CountingTokenizer(), options: .init(maxLength: maxLength, cacheDirectory: nil),
        on: SoloCommunicator())
      return nil
    } catch { return RetortError.wrap(error) }
  }

  @Test(arguments: [
    (#"[{"start": 2, "end": 3, "label": "X"}]"#, "has no word"),
    (#"[{"start": 0, "end": 1, "label": "X"}, {"start": 1, "end": 2, "label": "X"}]"#, "shares the word \"ab\""),
    (#"[{"start": 0, "end": 2, "label": "X", "text": "cd"}]"#, "is \"ab\" and not \"cd\""),
    (#"[{"start": "0", "end": 2, "label": "X"}]"#, "start and end of an entity are text"),
    (#"[{"start": 0, "end": 2.5, "label": "X"}]"#, "whole numbers were expected"),
    (#"[{"start": 0, "end": 2, "label": ""}]"#, "the label of an entity is empty"),
    (#"[{"start": -1, "end": 2, "label": "X"}]"#, "starts at -1"),
    (#"[{"end": 2, "label": "X"}]"#, "has no start, end and label"),
  ])
  func `an entity that no word of its own carries is refused with its line`(entities: String, said: String) throws {
    let error = try refusal(
      "{\"text\": \"ab c\", \"entities\": \(entities)}", .tokenClassification, labels: ["O", "B-X", "I-X"])
    #expect(error?.kind == .input && error?.what.contains(said) == true, "\(String(describing: error))")
    #expect(error?.location?.hasSuffix("r.jsonl:1") == true)
  }

  @Test func `an entity that says its own text, or is part of a word, is read`() throws {
    let row = #"{"text": "ab c", "entities": [{"start": 0, "end": 2, "label": "X", "text": "ab"}]}"#
    #expect(try refusal(row, .tokenClassification, labels: ["O", "B-X", "I-X"]) == nil)
  }

  @Test(arguments: [
    ("[1.0, 0.0, 1.0]", "\"1\" is in the list twice"), ("[0, 0, 1]", "\"0\" is in the list twice"),
    (#"["a", "a"]"#, "\"a\" is in the list twice"), (#"[""]"#, "a label has no name"),
    (#""a,b""#, "with a comma in it"),
  ])
  func `a list of labels names each label once, so that a bitmap is no list of numbers`(labels: String, said: String)
    throws
  {
    let error = try refusal("{\"text\": \"t\", \"labels\": \(labels)}", .multiLabel, labels: ["a", "b", "c"])
    #expect(error?.kind == .input && error?.what.contains(said) == true, "\(String(describing: error))")
  }

  @Test func `only tags with a mark and a type, or marks alone, are those of entities`() {
    #expect(TagScheme(["O", "B-PER", "I-PER"]) == .entities && TagScheme(["B-X", "E-X", "S-X"]) == .entities)
    #expect(TagScheme(["O", "B", "I"]) == .entities && TagScheme(["O"]) == .entities)
    for tags in [["O", "PERSON", "LOC", "Disease", "B"], ["O", "LABEL_1"], ["NOUN", "VERB"], ["B", "I"], ["O", "B-X", "Y"]] {
      #expect(TagScheme(tags) == .plain, "\(tags)")
    }
    #expect(TagScheme.stranger(in: ["O", "PERSON"]) == nil && TagScheme.stranger(in: ["O", "B-X", "Y"]) == "Y")
    #expect(TagScheme.remedy(for: "tag").contains("have no header"))
  }

  @Test func `entities of texts are counted themselves, and further words are no missing classes`() throws {
    let path = try scratch.write(
      "t.jsonl",
      """
      {"text": "ab cd ef", "entities": [{"start": 0, "end": 5, "label": "X"}, {"start": 6, "end": 8, "label": "Zebra"}]}
      {"text": "ab", "entities": [{"start": 0, "end": 2, "label": "X"}]}
      """)
    let task = TaskDescription(kind: .tokenClassification)
    let scan = try task.labels(in: task.open(path), on: SoloCommunicator())
    let set = try scan.labelSet().set
    #expect(set.counts(in: scan).hasSuffix("entities X 2, Zebra 1"), "\(set.counts(in: scan))")
    let warnings = set.warnings(train: scan, validation: nil)
    #expect(warnings.count == 1 && warnings[0].contains("the one row of the class \"B-Zebra\""), "\(warnings)")
    #expect(!warnings[0].contains("slip"))
  }

  @Test func `a text that is cut is counted, and a length without room for text is refused`() throws {
    let path = try scratch.write("c.jsonl", "{\"text\": \"abcdef\", \"label\": 0}\n{\"text\": \"a\", \"label\": 1}\n")
    let data = try TokenizedDataset.open(
      DatasetSplit(path), task: TaskDescription(kind: .classification), labels: LabelSet(count: 2),
      tokenizer: CountingTokenizer(), options: .init(maxLength: 5, cacheDirectory: nil), on: SoloCommunicator())
    #expect(data.cutRows == 1 && data.notes.count == 1 && data.notes[0].contains("1 of 2 rows were cut to 5 tokens"))
    let error = try refusal("{\"text\": \"ab\", \"label\": 0}", .classification, labels: ["a", "b"], maxLength: 2)
    #expect(error?.kind == .configuration && error?.what.contains("leaves none for the text") == true)
  }
}
