import Collectives
import Datasets
import Foundation
import Platform
import Tokenizers

extension Kinds {
  /// How a damaged data file is read.
  private struct Reading {
    var task = TaskDescription(kind: .classification)

    static let labelled = Reading()
    static let unlabelled: Reading = {
      var reading = Reading()
      reading.task.labelUse = .unread
      return reading
    }()
    /// Files without a header that are taken for CoLA's.
    static let headerless: Reading = {
      var reading = Reading()
      reading.task.usualHeaders = ["source", "label", "mark", "sentence"]
      return reading
    }()
    static let pairs: Reading = {
      var reading = Reading()
      reading.task.columns = DatasetColumns(text: TextColumns("a"), textPair: TextColumns("b"))
      return reading
    }()
  }

  /// Tokenises a file in each of some ways; throws the last refusal when all of them refuse.
  private static func read(_ path: String, _ folder: String, _ readings: [Reading]) throws {
    let tokenizer = try loadTokenizer(fromModelDirectory: folder)
    var refusal: (any Error)?
    for reading in readings {
      do {
        let data = try TokenizedDataset.open(
          DatasetSplit(path), task: reading.task, tokenizer: tokenizer,
          options: TokenizedDataset.Options(
            maxLength: 16, vocabularySize: 13, cacheDirectory: nil),
          on: SoloCommunicator())
        let classes = Int32(data.labels?.count ?? 0)
        for row in 0..<data.count {
          if let id = data.tokens(row).first(where: { !(0..<13).contains($0) }) { throw Wrong("gave the id \(id)") }
          if !(-1..<(reading.task.labelUse == .unread ? 0 : classes)).contains(data.label(row)) {
            throw Wrong("gave the class \(data.label(row)) of \(classes)")
          }
        }
      } catch { refusal = try kept(error) }
    }
    if let refusal { throw refusal }
  }

  /// A refusal, to be thrown when the other readings are done; what is a finding is thrown at once.
  private static func kept(_ error: any Error) throws -> any Error {
    guard let refusal = error as? RetortError, refusal.kind != .unexpected else { throw error }
    return error
  }

  /// Cuts a file into documents in each way that there is.
  private static func readDocuments(_ path: String, _ folder: String, _ cuts: [DocumentCut]) throws {
    let tokenizer = try loadTokenizer(fromModelDirectory: folder)
    var refusal: (any Error)?
    for cut in cuts {
      var task = TaskDescription(kind: .languageModeling)
      task.documents = cut
      do {
        let data = try PackedDocuments.open(
          DatasetSplit(path), task: task, tokenizer: tokenizer, endOfText: 3,
          options: TokenizedDataset.Options(maxLength: 8, vocabularySize: 13, cacheDirectory: nil),
          on: SoloCommunicator())
        for row in 0..<data.count { _ = data.batch([row]).tokens.count }
      } catch { refusal = try kept(error) }
    }
    if let refusal { throw refusal }
  }

  private static func readFeatures(_ path: String, _ folder: String) throws {
    let data = try FeatureDataset.open(DatasetSplit(path), task: TaskDescription(kind: .features), on: SoloCommunicator())
    for row in 0..<data.count where !data.features(row).allSatisfy(\.isFinite) { throw Wrong("gave no number") }
  }

  static func data() -> [Kind] {
    let beside = [(name: "tokenizer.json", content: Array(wordPiece.utf8))]
    func kind(_ file: String, _ seeds: [[UInt8]], _ readings: Reading...) -> Kind {
      Kind(name: file, seeds: seeds, beside: beside, file: file) { try read($0, $1, readings) }
    }
    func documents(_ name: String, _ file: String, _ seeds: [[UInt8]], _ cuts: DocumentCut...) -> Kind {
      Kind(name: name, seeds: seeds, memory: ofLongTexts, beside: beside, file: file) {
        try readDocuments($0, $1, cuts)
      }
    }
    func utf16(_ text: String) -> [UInt8] { Array(text.data(using: .utf16) ?? Data()) }
    let rows = #"{"text": "the river", "label": 0}"# + "\n" + #"{"text": "a\u0301b", "label": 1, "x": [1, {}]}"# + "\n"
    let ids = #"{"ids": [2, 5, 3], "label": "a"}"# + "\n" + #"{"ids": [2, 6], "label": "b"}"# + "\n"
    let texts = "the river runs\n\n  a b\r\n<|endoftext|>\nriver\u{0c}\n\n\nruns 1<|endoftext|>"
    return [
      kind(
        "data.tsv",
        bytes(
          "sentence\tlabel\nthe river\t0\n\"runs\"\t1\n", "text\tlabel\na\tx\nb\ty\n",
          "\u{feff}text\tlabel\r\na\t1.0\r\n\r\nb\ttrue\r\n")
          + [utf16("text\tlabel\nthe\t1\nriver\t0\n")], .labelled, .unlabelled),
      kind(
        "data.csv",
        bytes(
          "text,label\n\"the, \"\"river\"\"\",0\nruns,1\n", "label,text\n\"1\",\"a\nb\"\n\n0,\"\"\n",
          "\u{feff}text,label\r\na,\"x\"\r\n b , y\r\n"), .labelled, .unlabelled),
      kind("headerless.tsv", bytes("gj04\t1\t\tthe river runs\ngj04\t0\t*\trun a\n"), .headerless),
      kind("pairs.csv", bytes("a,b,label\nthe,\"river\n\",0\n\"a\"\"\",b,1\n,river,0\n"), .pairs, .unlabelled),
      kind("data.jsonl", bytes(rows, ids), .labelled, .unlabelled),
      kind(
        "data.json",
        bytes(
          #"[{"text": "the river", "label": 0}, {"text": "b", "label": 1}]"#,
          #"{"data": [{"text": "the", "label": true}, {"text": "b", "label": false}], "n": 2}"#), .labelled),
      kind("data.tsv.gz", GzipSeeds.all, .unlabelled),
      documents(
        "documents.txt", "documents.txt", bytes(texts, "\u{feff}one\r\rtwo\r\n") + [utf16(texts)], .automatic, .file,
        .paragraph,
        .line, .separator("run")),
      documents(
        "documents.jsonl", "documents.jsonl",
        bytes(
          #"{"text": "the river runs", "prompt": "the"}"# + "\n" + #"{"text": "a b 1 a b 1 a b 1"}"# + "\n",
          #"{"ids": [5, 6, 7], "prompt": [2]}"# + "\n" + #"{"ids": [9]}"# + "\n"), .automatic),
      documents(
        "documents.json", "documents.json",
        bytes(#"[{"text": "the river runs", "prompt": "the"}, {"text": ""}, {"text": "a b 1 a b 1"}]"#), .automatic),
      Kind(
        name: "features.csv", seeds: bytes("x,y,label\n1.5,-2e3,0\n0,1e-3,1\n"), file: "features.csv",
        read: readFeatures),
      Kind(
        name: "features.jsonl",
        seeds: bytes(#"{"features": [1.5, -2e3], "label": 0}"# + "\n" + #"{"features": [0, 1], "label": 1}"# + "\n"),
        file: "features.jsonl", read: readFeatures),
    ]
  }
}
