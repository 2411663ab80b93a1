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
  ].merging(others) { $1 }

  /// The classes of model types that are no families here, whose vocab.txt or SentencePiece model another class reads
  /// with other ids.
  private static let others = [
    "barthez": "BarthezTokenizer", "bartpho": "BartphoTokenizer", "bert-generation": "BertGenerationTokenizer",
    "bert-japanese": "BertJapaneseTokenizer", "bertweet": "BertweetTokenizer", "big_bird": "BigBirdTokenizer",
    "code_llama": "CodeLlamaTokenizer", "cpm": "CpmTokenizer", "cpmant": "CpmAntTokenizer",
    "deberta": "DebertaTokenizer", "deberta-v2": "DebertaV2Tokenizer", "esm": "EsmTokenizer", "fnet": "FNetTokenizer",
    "funnel": "FunnelTokenizer", "gemma3n": "GemmaTokenizer", "gemma3n_text": "GemmaTokenizer",
    "gpt-sw3": "GPTSw3Tokenizer", "gte": "XLMRobertaTokenizer", "herbert": "HerbertTokenizer",
    "jina_embeddings_v3": "XLMRobertaTokenizer", "layoutlmv2": "LayoutLMv2Tokenizer", "layoutxlm": "LayoutXLMTokenizer",
    "m2m_100": "M2M100Tokenizer", "marian": "MarianTokenizer", "mbart": "MBartTokenizer", "mbart50": "MBart50Tokenizer",
    "mluke": "MLukeTokenizer", "nllb": "NllbTokenizer", "nllb-moe": "NllbTokenizer", "pegasus": "PegasusTokenizer",
    "phobert": "PhobertTokenizer", "plbart": "PLBartTokenizer", "prophetnet": "ProphetNetTokenizer",
    "recurrent_gemma": "GemmaTokenizer", "reformer": "ReformerTokenizer", "rembert": "RemBertTokenizer",
    "roc_bert": "RoCBertTokenizer", "roformer": "RoFormerTokenizer", "seamless_m4t": "SeamlessM4TTokenizer",
    "siglip": "SiglipTokenizer", "speech_to_text": "Speech2TextTokenizer", "speecht5": "SpeechT5Tokenizer",
    "splinter": "SplinterTokenizer", "t5gemma": "GemmaTokenizer", "tapas": "TapasTokenizer",
    "trocr": "XLMRobertaTokenizer", "udop": "UdopTokenizer", "xglm": "XGLMTokenizer", "xlnet": "XLNetTokenizer",
  ]

  /// Names of one class, or of a subclass that gives the same ids.
  private static let aliases = [
    "PreTrainedTokenizerFast": generic, "PreTrainedTokenizer": generic,
    "ConvBertTokenizer": "BertTokenizer", "DistilBertTokenizer": "BertTokenizer",
    "DPRContextEncoderTokenizer": "BertTokenizer", "DPRQuestionEncoderTokenizer": "BertTokenizer",
    "DPRReaderTokenizer": "BertTokenizer", "ElectraTokenizer": "BertTokenizer", "LayoutLMTokenizer": "BertTokenizer",
    "LxmertTokenizer": "BertTokenizer", "MobileBertTokenizer": "BertTokenizer",
    "SqueezeBertTokenizer": "BertTokenizer", "LongformerTokenizer": "RobertaTokenizer",
    "BartTokenizer": "RobertaTokenizer",
  ]

  /// The special tokens that a class has by itself, by role.
  static func usualRoles(_ name: String?) -> [TokenRole: String] {
    switch name {
    case "GemmaTokenizer":
      [.begin: "<bos>", .end: "<eos>", .unknown: "<unk>", .padding: "<pad>", .mask: "<mask>"]
    case "MPNetTokenizer":
      [
        .begin: "<s>", .end: "</s>", .unknown: "[UNK]", .separator: "</s>", .padding: "<pad>", .start: "<s>",
        .mask: "<mask>",
      ]
    case "Qwen2Tokenizer": [.end: "<|endoftext|>", .unknown: "<|endoftext|>", .padding: "<|endoftext|>"]
    case "RobertaTokenizer": SentencePieceClass.xlmRoberta.usualRoles
    default: name.flatMap(SentencePieceClass.init)?.usualRoles ?? [:]
    }
  }

  /// The class, without "Fast"; nil if no file decides it.
  static func name(_ named: String?, modelType: String?, isConfigured: Bool) -> String? {
    let usual = modelType.flatMap { TokenizerClasses.usual[$0] }
    guard let named, !named.isEmpty else {
      // Without any settings a BERT or GPT-2 vocabulary is used as its own file says.
      return isConfigured || !["BertTokenizer", "GPT2Tokenizer"].contains(usual) ? usual : nil
    }
    // AutoTokenizer does not trust the class that files of these models name.
    if usual == generic || modelType == "qwen2" { return usual }
    return canonical(named)
  }

  /// The class that reads a vocab.txt without tokenizer.json: the one that a file names, else that of the model type;
  /// BERT's if neither is a class with a pipeline of its own, since a generic one cannot read the file.
  static func textName(_ named: String?, modelType: String?) -> String {
    let own = named.flatMap { $0.isEmpty ? nil : canonical($0) } ?? modelType.flatMap { usual[$0] }
    return own == nil || own == generic ? "BertTokenizer" : own ?? ""
  }

  private static func canonical(_ named: String) -> String {
    if let alias = aliases[named] { return alias }
    let short = named.hasSuffix("Fast") ? String(named.dropLast(4)) : named
    return aliases[short] ?? short
  }

  /// The type of model that a class builds; nil for a class that takes any.
  static func modelType(_ name: String) -> String? {
    switch name {
    case "BertTokenizer", "MPNetTokenizer": "WordPiece"
    case "GemmaTokenizer", "GPT2Tokenizer", "LlamaTokenizer", "Qwen2Tokenizer", "RobertaTokenizer": "BPE"
    default: SentencePieceClass(rawValue: name) == nil ? nil : "Unigram"
    }
  }
}
