import Platform

extension TokenizerJSON {
  /// Classes of `transformers` that build a pipeline of their own without WordPiece.
  private static let otherClasses: Set<String> = [
    "AlbertTokenizer", "BartTokenizer", "CamembertTokenizer", "GPT2Tokenizer", "LlamaTokenizer", "Qwen2Tokenizer",
    "RobertaTokenizer", "T5Tokenizer", "XLMRobertaTokenizer",
  ]

  /// What differs where `tokenizer_class` names one that puts its pipeline together itself, instead of taking this
  /// file's; nil where the ids are the same.
  func classRemark(_ settings: TokenizerSettings) -> String? {
    guard modelType == "WordPiece", let name = settings.className else { return nil }
    if TokenizerJSON.otherClasses.contains(name) {
      return "\(path): is WordPiece, and tokenizer_class is \(name), which is not: this file is followed, and "
        + "AutoTokenizer of transformers 5 makes other ids"
    }
    guard name == "BertTokenizer" else { return nil }
    let differing = bertDifferences(settings)
    if differing.isEmpty { return nil }
    return "\(path): its own \(differing.joined(separator: ", ")) "
      + "\(differing.count == 1 ? "is" : "are") followed; AutoTokenizer of transformers 5 takes BertTokenizer's instead"
  }

  /// The sections and keys that BERT's class would replace by others.
  private func bertDifferences(_ settings: TokenizerSettings) -> [String] {
    var names: [String] = []
    let model = root["model"] ?? .null
    let normalizer = root["normalizer"] ?? .null
    if normalizer["type"]?.string == "BertNormalizer" {
      if normalizer["clean_text"]?.bool == false { names.append("normalizer.clean_text") }
      if settings.stripsAccents == nil, normalizer["strip_accents"]?.bool != nil {
        names.append("normalizer.strip_accents")
      }
      if settings.separatesChinese == nil, normalizer["handle_chinese_chars"]?.bool == false {
        names.append("normalizer.handle_chinese_chars")
      }
      if settings.lowercases == nil, normalizer["lowercase"]?.bool == false { names.append("normalizer.lowercase") }
    } else {
      names.append("normalizer")
    }
    if root["pre_tokenizer"]?["type"]?.string != "BertPreTokenizer" { names.append("pre_tokenizer") }
    if (model["continuing_subword_prefix"]?.string ?? "##") != "##" { names.append("model.continuing_subword_prefix") }
    if (model["max_input_chars_per_word"]?.int ?? 100) != 100 { names.append("model.max_input_chars_per_word") }
    return names
  }
}
