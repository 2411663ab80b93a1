import Datasets
import Foundation
import Platform

/// The files besides config.json that make a model directory one of sentence-transformers.
///
///     modules.json                       Transformer, Pooling, Normalize
///     sentence_bert_config.json          max_seq_length
///     1_Pooling/config.json              how states become a vector
///     config_sentence_transformers.json  prompts, the similarity
package enum SentenceTransformer {
  /// The names of the files, whose content decides what the model answers.
  package static let files = [
    "modules.json", "sentence_bert_config.json", "1_Pooling/config.json", "config_sentence_transformers.json",
  ]

  /// The pooling that a directory's files describe; nil if it has no modules.json.
  ///
  /// Throws `.input` naming file and key for modules and settings that are not built.
  static func pooling(in directory: String) throws -> Pooling? {
    let path = joinPath(directory, "modules.json")
    guard fileExists(path) else { return nil }
    var pooling = Pooling()
    pooling.normalizes = false
    var hasPooling = false
    for module in try JSON(contentsOf: path).array ?? [] {
      let type = module["type"]?.string ?? "null"
      let place = module["path"]?.string ?? ""
      switch type.split(separator: ".").last ?? "" {
      case "Transformer" where place.isEmpty || place == ".": break
      case "Pooling":
        hasPooling = true
        pooling.mode = try mode(joinPath(joinPath(directory, place), "config.json"))
      case "Normalize": pooling.normalizes = true
      default:
        throw RetortError(
          .input, "the module \(quoted(type))\(place.isEmpty ? "" : " in \(quoted(place))") is not built", at: path,
          remedy: "use a model of Transformer (in the directory itself), Pooling and Normalize")
      }
    }
    guard hasPooling else {
      throw RetortError(
        .input, "lists no Pooling module, so that the vectors of sentences are not defined", at: path,
        remedy: "use the complete model directory")
    }
    pooling.maxLength =
      try maxLength(joinPath(directory, "sentence_bert_config.json")) ?? tokenizerLength(in: directory)
    try refusePrompt(joinPath(directory, "config_sentence_transformers.json"))
    return pooling
  }

  private static func mode(_ path: String) throws -> PoolingMode {
    guard fileExists(path) else {
      throw RetortError(.input, "the pooling's configuration is missing", at: path, remedy: "copy the whole directory")
    }
    let json = try JSON(contentsOf: path)
    var modes: [String] = []
    if let listed = json["pooling_mode"] {
      modes = listed.string.map { [$0] } ?? listed.array?.compactMap(\.string) ?? []
    } else {
      modes = (json.object ?? [:]).filter { $0.key.hasPrefix("pooling_mode_") && $0.value.bool == true }.keys.sorted()
        .map { String($0.dropFirst("pooling_mode_".count)) }
    }
    switch modes {
    case ["mean"], ["mean_tokens"]: return .mean
    case ["cls"], ["cls_token"]: return .cls
    default:
      throw RetortError(
        .input, "the pooling \(modes.isEmpty ? "of no mode" : modes.joined(separator: " + ")) is not built", at: path,
        remedy: "use a model that pools the mean of its tokens, or its first token")
    }
  }

  private static func maxLength(_ path: String) throws -> Int? {
    guard fileExists(path) else { return nil }
    let json = try JSON(contentsOf: path)
    if json["do_lower_case"]?.bool == true {
      throw RetortError(
        .input, "do_lower_case is true, and the texts are given to the tokenizer as they are", at: path,
        remedy: "set it to false if the tokenizer itself makes lower case of texts")
    }
    guard let value = json["max_seq_length"], !value.isNull else { return nil }
    guard let length = value.int, length > 0 else {
      throw RetortError(.input, "max_seq_length is \(value.text()), a number of tokens was expected", at: path)
    }
    return length
  }

  /// The length to which the tokenizer cuts, for directories that name no other; nil for one without limit.
  private static func tokenizerLength(in directory: String) throws -> Int? {
    let path = joinPath(directory, "tokenizer_config.json")
    guard fileExists(path) else { return nil }
    return try JSON(contentsOf: path)["model_max_length"]?.int.flatMap { (1..<1_000_000).contains($0) ? $0 : nil }
  }

  private static func refusePrompt(_ path: String) throws {
    guard fileExists(path) else { return }
    let json = try JSON(contentsOf: path)
    guard let name = json["default_prompt_name"]?.string, let prompt = json["prompts"]?[name]?.string, !prompt.isEmpty
    else { return }
    throw RetortError(
      .input, "each text begins with the prompt \(quoted(prompt)) (default_prompt_name), which is not added", at: path,
      remedy: "set default_prompt_name to null, and put the prompt into the texts if they need it")
  }

  /// The files of a model with this pooling.
  static func files(_ pooling: Pooling, width: Int, maxLength: Int?) -> [String: Data] {
    func module(_ index: Int, _ path: String, _ type: String) -> JSON {
      [
        "idx": .int(index), "name": .string(String(index)), "path": .string(path),
        "type": .string("sentence_transformers.models.\(type)"),
      ]
    }
    var modules = [module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling")]
    if pooling.normalizes { modules.append(module(2, "2_Normalize", "Normalize")) }
    let kinds = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
    let mode = pooling.mode == .mean ? "mean_tokens" : "cls_token"
    var own = Dictionary(uniqueKeysWithValues: kinds.map { ("pooling_mode_\($0)", JSON.bool($0 == mode)) })
    own["word_embedding_dimension"] = .int(width)
    own["include_prompt"] = true
    var reading: [String: JSON] = ["do_lower_case": false]
    reading["max_seq_length"] = maxLength.map(JSON.int)
    let contents: [String: JSON] = [
      "modules.json": .array(modules), "1_Pooling/config.json": .object(own),
      "sentence_bert_config.json": .object(reading),
      "config_sentence_transformers.json": [
        "prompts": .object([:]), "default_prompt_name": .null, "similarity_fn_name": "cosine",
      ],
    ]
    return contents.mapValues { Data(($0.text(indent: 2) + "\n").utf8) }
  }
}
