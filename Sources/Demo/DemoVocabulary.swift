import Platform

/// The demo's tokenizer: WordPiece over the grammar's words, in Hugging Face's file formats.
package enum DemoVocabulary {
  /// The entries of vocab.txt; the index is the token id.
  ///
  /// Other words are spelled with suffixes and letters, so that the trained models accept any English text.
  package static let entries: [String] = {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    let letters = "abcdefghijklmnopqrstuvwxyz0123456789".map(String.init)
    let punctuation = ["!", "\"", "'", "(", ")", ",", "-", ".", ":", ";", "?"]
    let suffixes = ["ing", "ly", "ed", "er", "est", "ness", "less", "ful", "able", "es"]
    let pieces = (letters + suffixes).map { "##" + $0 }
    var seen: Set<String> = []
    return (special + punctuation + letters + ReviewGenerator.words + pieces).filter { seen.insert($0).inserted }
  }()

  /// The content of vocab.txt.
  static var text: String { entries.joined(separator: "\n") + "\n" }

  /// The content of tokenizer_config.json.
  static var settings: String {
    let settings: JSON = [
      "tokenizer_class": "BertTokenizer", "do_lower_case": true, "model_max_length": .int(DemoPlan.maxLength),
      "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]",
      "mask_token": "[MASK]",
    ]
    return settings.text(indent: 2) + "\n"
  }
}
