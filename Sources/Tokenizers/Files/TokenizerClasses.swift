/// Which class of `transformers` AutoTokenizer uses for a model directory.
enum TokenizerClasses {
  /// The class that uses tokenizer.json unchanged.
  static let generic = "TokenizersBackend"

  /// The class of each model type; a class that a file names instead wins, unless the model type's is generic.
  private static let usual: [String: String] = [
    "albert": "AlbertTokenizer", "bart": "RobertaTokenizer", "bert": "BertTokenizer", "camembert": "CamembertTokenizer",
    "data2vec-text": "RobertaTokenizer", "distilbert": "BertTokenizer", "electra": "BertTokenizer",
    "ernie4_5": generic, "gemma": "GemmaTokenizer", "gemma2": "GemmaTokenizer", "gemma3": "GemmaTokenizer",
    "gemma3_text": "GemmaTokenizer", "glm": generic, "glm4": generic, "gpt2": "GPT2Tokenizer", "granite": generic,
    "internlm2": generic, "internlm3": generic, "jamba": generic, "longformer": "RobertaTokenizer",
    "minicpm3": generic, "ministral": generic, "ministral3": generic, "mistral": generic, "mistral3": generic,
    "mixtral": generic, "modernbert": generic, "modernbert-decoder": generic, "mpnet": "MPNetTokenizer",
    "mt5": "T5Tokenizer", "nemotron": generic, "nystromformer": generic, "olmo2": generic, "olmo3": generic,
    "phi3": generic, "phimoe": generic, "qwen2": "Qwen2Tokenizer", "qwen3": "Qwen2Tokenizer",
    "roberta": "RobertaTokenizer", "roberta-prelayernorm": "RobertaTokenizer", "switch_transformers": "T5Tokenizer",
    "t5": "T5Tokenizer", "umt5": generic, "xlm-roberta": "XLMRobertaTokenizer", "xlm-roberta-xl": generic,
    "xmod": "XLMRobertaTokenizer", "yoso": "AlbertTokenizer",
  ]

  /// Names of one class.
  private static let aliases = [
    "PreTrainedTokenizerFast": generic, "PreTrainedTokenizer": generic, "DistilBertTokenizer": "BertTokenizer",
    "ElectraTokenizer": "BertTokenizer", "LongformerTokenizer": "RobertaTokenizer", "BartTokenizer": "RobertaTokenizer",
  ]

  /// The class, without "Fast"; nil if no file decides it.
  static func name(_ named: String?, modelType: String?, isConfigured: Bool) -> String? {
    let usual = modelType.flatMap { TokenizerClasses.usual[$0] }
    guard let named, !named.isEmpty else {
      // Without any settings a BERT or GPT-2 vocabulary is used as its own file says.
      return isConfigured || !["BertTokenizer", "GPT2Tokenizer"].contains(usual) ? usual : nil
    }
    // AutoTokenizer does not trust the class that files of these models name.
    if usual == generic || modelType == "qwen2" { return usual }
    if let alias = aliases[named] { return alias }
    let short = named.hasSuffix("Fast") ? String(named.dropLast(4)) : named
    return aliases[short] ?? short
  }

  /// The type of model that a class builds; nil for a class that takes any.
  static func modelType(_ name: String) -> String? {
    switch name {
    case "BertTokenizer": "WordPiece"
    case "GemmaTokenizer", "GPT2Tokenizer", "LlamaTokenizer", "Qwen2Tokenizer", "RobertaTokenizer": "BPE"
    default: SentencePieceClass(rawValue: name) == nil ? nil : "Unigram"
    }
  }
}
