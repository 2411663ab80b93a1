import Platform

extension TokenizerJSON {
  /// A remark if `tokenizer_class` names a class that builds its own pipeline instead of this file's and gives other
  /// ids; otherwise nil.
  func classRemark(_ settings: TokenizerSettings) -> String? {
    guard let name = settings.className, let type = modelType else { return nil }
    if let needed = TokenizerClasses.modelType(name), needed != type {
      return "\(path): is \(type), but tokenizer_class is \(name), which is not: Retort follows this file, and "
        + "AutoTokenizer of transformers 5 gives other ids"
    }
    guard ["BertTokenizer", "MPNetTokenizer"].contains(name) else { return nil }
    let differing = bertDifferences(settings)
    if differing.isEmpty { return nil }
    return "\(path): Retort follows this file's \(differing.joined(separator: ", ")); "
      + "AutoTokenizer of transformers 5 uses \(name)'s instead"
  }

  /// The sections and keys whose values BERT's class, or MPNet's, would replace.
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
