import Foundation
import Platform

/// The `tokenizer_config.json` that copies of a tokenizer's files need beside a model of another type, so that the same
/// class builds the tokenizer there; nil if the files suffice as they are.
///
/// - Parameters:
///   - directory: the directory of the original files.
///   - modelType: `model_type` of the `config.json` beside the copies.
///   - modelClass: its `tokenizer_class`.
/// Throws `.input` for a broken `tokenizer_config.json`, and for files that no class reads beside such a model.
package func tokenizerConfiguration(
  copiedFrom directory: String, besideModelType modelType: String, modelClass: String?
) throws -> Data? {
  let files = tokenizerFiles(inModelDirectory: directory)
  let isPair = VocabularyPair.isAlone(among: files)
  let hasOther = files.contains("tokenizer.json") || sentencePieceFileNames.contains(where: files.contains)
  let isText = files.contains("vocab.txt") && !hasOther
  guard isPair || isText || hasOther else { return nil }
  let path = joinPath(directory, "tokenizer_config.json")
  let isConfigured = fileExists(path)
  var keys = isConfigured ? try JSON(contentsOf: path).object ?? [:] : [:]
  let settings = try TokenizerSettings(directory: directory)
  func data(naming name: String) -> Data {
    keys["tokenizer_class"] = .string(name)
    return Data((JSON.object(keys).text(indent: 2) + "\n").utf8)
  }
  if isText {
    let copied = TokenizerClasses.textName(keys["tokenizer_class"]?.string ?? modelClass, modelType: modelType)
    return copied == settings.textClassName ? nil : data(naming: settings.textClassName)
  }
  let original = isPair ? settings.pairClassName : settings.className
  let copied = TokenizerClasses.name(
    keys["tokenizer_class"]?.string ?? modelClass, modelType: modelType, isConfigured: isConfigured || isPair)
  if original == copied { return nil }
  let name = original == nil || original == TokenizerClasses.generic ? "PreTrainedTokenizerFast" : original
  let isKept =
    TokenizerClasses.name(name, modelType: modelType, isConfigured: true) == original ?? TokenizerClasses.generic
  // Some model types have a class whatever a file says; it reads every file but these.
  if isPair, !isKept {
    throw RetortError(
      .input, "the tokenizer is vocab.json and merges.txt, which cannot be read beside a model of type \(modelType)",
      at: directory, remedy: "save it with transformers' save_pretrained, which writes tokenizer.json")
  }
  guard isKept, let name else { return nil }
  return data(naming: name)
}
