import Models
import Platform
import Tokenizers

extension ModelConfiguration {
  /// The token that ends a text, `eos_token_id`; the first of several.
  package var endOfText: Int32? {
    let value = json["eos_token_id"]
    return (value?.int ?? value?.array?.first?.int).flatMap { Int32(exactly: $0) }.flatMap { $0 < 0 ? nil : $0 }
  }

  /// The token that ends a text: the configuration's, otherwise that of the tokenizer of the model's directory.
  package func endOfText(of tokenizer: (any Tokenizer)?, inModelDirectory directory: String) throws -> Int32? {
    try endOfText ?? tokenizer.flatMap { try TextBorders($0, inModelDirectory: directory).end }
  }

  /// The configuration with the ids of the tokens before and after a text; missing ones come from the teacher,
  /// otherwise from the tokenizer.
  func withTextBorders(of tokenizer: TokenizerFiles?, like teacher: ModelConfiguration?) -> ModelConfiguration {
    func id(_ key: String, _ own: Int32?) -> [String: JSON] {
      if let value = json[key], !value.isNull { return [:] }
      if let value = teacher?.json[key], !value.isNull { return [key: value] }
      return own.map { [key: .int(Int($0))] } ?? [:]
    }
    return setting(id("bos_token_id", tokenizer?.borders.begin)).setting(id("eos_token_id", tokenizer?.borders.end))
  }
}
