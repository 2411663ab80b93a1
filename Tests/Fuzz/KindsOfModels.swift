import Chains
import Datasets
import Models
import Planner
import Platform
import Safetensors
import Tokenizers

extension Kinds {
  static func bytes(_ texts: String...) -> [[UInt8]] { texts.map { Array($0.utf8) } }

  private static let vocabulary =
    ###""[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"[MASK]":4,"the":5,"river":6,"run":7,"##s":8,"a":9,"b":10,"1":11"###
  private static let template =
    #"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"#
    + #""pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"#
    + #""special_tokens":{"[CLS]":{"id":"[CLS]","ids":[2],"tokens":["[CLS]"]}}}"#
  static let wordPiece =
    #"{"version":"1.0","truncation":{"direction":"Left","max_length":8},"added_tokens":[{"id":4,"content":"[MASK]","#
    + #""lstrip":true,"rstrip":false,"single_word":false,"normalized":false,"special":true},{"id":12,"content":"Ab"}],"#
    + #""normalizer":{"type":"Sequence","normalizers":[{"type":"NFD"},{"type":"Lowercase"},{"type":"StripAccents"},"#
    + #"{"type":"Replace","pattern":{"Regex":"\\s{2,3}"},"content":" "},{"type":"Strip","strip_left":true}]},"#
    + #""pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"[0-9a-c]+"},"#
    + #""behavior":"MergedWithNext","invert":false},{"type":"Digits","individual_digits":true},{"type":"Whitespace"},"#
    + #"{"type":"Punctuation","behavior":"Contiguous"},{"type":"CharDelimiterSplit","delimiter":"b"}]},"post_processor":"#
    + template + ###","decoder":{"type":"WordPiece","prefix":"##","cleanup":true},"model":{"type":"WordPiece","###
    + ###""unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":9,"vocab":{"### + vocabulary
    + "}}}"
  private static let bytePairs =
    #"{"added_tokens":[{"id":9,"content":"<s>","special":true}],"normalizer":{"type":"Prepend","prepend":"▁"},"#
    + #""pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true},"decoder":{"type":"#
    + #""Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},"#
    + #"{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},"model":{"type":"BPE","unk_token":"a","#
    + #""fuse_unk":true,"byte_fallback":false,"ignore_merges":true,"#
    + #""vocab":{"a":0,"b":1,"▁":2,"ab":3,"▁ab":4,"1":5},"merges":["a b",["▁","ab"]]}}"#
  private static let byteLevel =
    #"{"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":false},{"type":"ByteLevel","#
    + #""add_prefix_space":true,"use_regex":true}]},"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","#
    + #""vocab":{"a":0,"b":1,"Ġ":2,"Ġa":3,"1":4},"merges":["Ġ a"]}}"#
  private static let texts = ["", "The river runs 123", "a\u{301}b  [MASK]Ab ab\u{2028}<s>", "\u{0}🏽東"]

  /// Compares a text's tokens with those that have offsets, and words with each by itself.
  private static func compare(_ tokenizer: any Tokenizer, _ text: String) throws {
    let aligned = tokenizer.encode(aligned: text)
    if aligned.ids != tokenizer.encode(text).ids { throw Wrong("gave other tokens with offsets") }
    let count = text.unicodeScalars.count
    if aligned.offsets.contains(where: { $0.upperBound > count }) { throw Wrong("gave offsets outside of the text") }
    let words = text.split(separator: " ").map(String.init)
    let all = tokenizer.encode(words: words, maxLength: nil, addSpecialTokens: false)
    for (index, word) in words.enumerated() {
      let ids = zip(all.ids, all.words).filter { $0.1 == index }.map(\.0)
      if ids != tokenizer.encode(word, pair: nil, maxLength: nil, addSpecialTokens: false).ids {
        throw Wrong("gave a word other tokens than by itself")
      }
    }
  }

  /// Encodes and decodes some text.
  private static func use(_ tokenizer: any Tokenizer) throws {
    for text in texts {
      try compare(tokenizer, text)
      let encoding = tokenizer.encode(text, pair: nil, maxLength: 6, addSpecialTokens: true)
      _ = tokenizer.encode(text, pair: "b a", maxLength: nil, addSpecialTokens: true)
      _ = tokenizer.decode(encoding.ids + [-1, 7, 1 << 20], skipSpecialTokens: false)
    }
  }

  static func tokenizers() -> [Kind] {
    let read: (String, String) throws -> Void = { _, folder in
      if let tokenizer = try loadTokenizer(fromModelDirectory: folder) { try use(tokenizer) }
    }
    let file = (name: "tokenizer.json", content: Array(wordPiece.utf8))
    let settings = bytes(
      #"{"tokenizer_class":"BertTokenizer","do_lower_case":true,"truncation_side":"left","pad_token":"<p>","#
        + #""added_tokens_decoder":{"12":{"content":"[E1]","lstrip":true,"special":true}},"extra_special_tokens":["x"]}"#,
      #"{"tokenizer_class":"LlamaTokenizer","legacy":true,"add_prefix_space":false,"bos_token":{"content":"<s>"}}"#,
      #"{"tokenizer_class":"T5Tokenizer","extra_ids":3,"eos_token":"a","keep_accents":true,"add_bos_token":true}"#)
    // Ids of a model may be any, and so may texts.
    let kinds = [wordPiece, bytePairs, byteLevel, SentencePieceSeeds.unigram]
    let text: (String, String) throws -> Void = { path, folder in
      let bytes = Array(try readFile(path))
      let text = String(decoding: bytes, as: UTF8.self)
      for index in kinds.indices {
        guard let tokenizer = try loadTokenizer(fromModelDirectory: joinPath(folder, "\(index)")) else { continue }
        let encoding = tokenizer.encode(text, pair: nil, maxLength: nil, addSpecialTokens: index > 0)
        _ = tokenizer.decode(encoding.ids, skipSpecialTokens: true)
        try compare(tokenizer, text)
        _ = tokenizer.decode(bytes.map { Int32(Int8(bitPattern: $0)) }, skipSpecialTokens: false)
      }
    }
    let merges = (name: "merges.txt", content: Array("#version: 0.2\na b\r\nĠ a\n".utf8))
    let pair = (name: "vocab.json", content: Array(#"{"a":0,"b":1,"ab":2,"Ġ":3,"Ġa":4,"<s>":5,"</s>":6}"#.utf8))
    let roberta = (
      name: "tokenizer_config.json",
      content: Array(#"{"tokenizer_class":"RobertaTokenizer","trim_offsets":false}"#.utf8)
    )
    return [
      Kind(name: "vocab.json", seeds: [pair.content], beside: [merges, roberta], file: "vocab.json", read: read),
      Kind(name: "merges.txt", seeds: [merges.content], beside: [pair, roberta], file: "merges.txt", read: read),
      Kind(
        name: "text", seeds: bytes(texts.joined(separator: " "), "the river runs the river 1 2 ▁ab Ġa a b"),
        memory: Kinds.ofLongTexts,
        beside: kinds.enumerated().map { ("\($0.offset)/tokenizer.json", Array($0.element.utf8)) }, file: "text",
        read: text),
      Kind(
        name: "tokenizer.json", seeds: bytes(wordPiece, bytePairs, byteLevel, SentencePieceSeeds.unigram),
        file: "tokenizer.json", read: read),
      Kind(
        name: "tokenizer.model", seeds: [SentencePieceSeeds.model(type: 1), SentencePieceSeeds.model(type: 2)],
        file: "tokenizer.model", read: read),
      Kind(name: "tokenizer_config.json", seeds: settings, beside: [file], file: "tokenizer_config.json", read: read),
      Kind(
        name: "added_tokens.json", seeds: bytes(#"{"[E1]":12,"[E2]":13}"#), beside: [file], file: "added_tokens.json",
        read: read),
      Kind(
        name: "special_tokens_map.json",
        seeds: bytes(#"{"pad_token":{"content":"<p>","lstrip":true},"unk_token":"a"}"#),
        beside: [file], file: "special_tokens_map.json", read: read),
      Kind(
        name: "vocab.txt", seeds: bytes("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe \r\n##s\n\na\nriver\na\n"),
        file: "vocab.txt",
        read: read),
    ]
  }

  static func models() -> [Kind] {
    let bert =
      #"{"model_type":"bert","architectures":["BertForSequenceClassification"],"vocab_size":12,"hidden_size":8,"#
      + #""num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":16,"max_position_embeddings":16,"#
      + #""type_vocab_size":2,"hidden_act":"gelu","layer_norm_eps":1e-12,"id2label":{"0":"a","1":"b"},"retort_task":{"kind":"#
      + #""classification","text":["a","b"],"label":"label","labels_are":"index","columns":["a"],"max_length":16}}"#
    let llama =
      #"{"model_type":"llama","architectures":["LlamaForCausalLM"],"vocab_size":12,"hidden_size":8,"rope_scaling":"#
      + #"{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"#
      + #""original_max_position_embeddings":8},"num_hidden_layers":1,"num_attention_heads":2,"num_key_value_heads":1,"#
      + #""intermediate_size":16,"max_position_embeddings":16,"rms_norm_eps":1e-5,"eos_token_id":[1,2]}"#
    let smol =
      #"{"model_type":"smollm3","vocab_size":12,"hidden_size":8,"num_hidden_layers":2,"num_attention_heads":2,"#
      + #""num_key_value_heads":1,"intermediate_size":16,"max_position_embeddings":16,"no_rope_layers":[1,0],"#
      + #""use_sliding_window":true,"sliding_window":4,"layer_types":["full_attention","sliding_attention"]}"#
    let gemma =
      #"{"model_type":"gemma3_text","vocab_size":12,"hidden_size":8,"num_hidden_layers":2,"num_attention_heads":2,"#
      + #""num_key_value_heads":1,"head_dim":4,"query_pre_attn_scalar":4,"intermediate_size":16,"sliding_window":4,"#
      + #""sliding_window_pattern":2,"rope_parameters":{"full_attention":{"rope_type":"linear","factor":2.0},"#
      + #""sliding_attention":{"rope_theta":5.0}},"max_position_embeddings":16,"final_logit_softcapping":null}"#
    let gpt =
      #"{"model_type":"gpt2","vocab_size":12,"n_embd":8,"n_layer":1,"n_head":2,"n_inner":null,"n_positions":16,"#
      + #""activation_function":"gelu_new","scale_attn_by_inverse_layer_idx":true,"attn_pdrop":0.1}"#
    let configuration: (String, String) throws -> Void = { _, folder in
      let configuration = try ModelConfiguration(directory: folder)
      _ = (configuration.vocabularySize, configuration.maximumPositions, configuration.tokenTypes)
      _ = (configuration.labels, TaskRecord(configuration.json[TaskRecord.key])?.json)
      _ = try configuration.stopTokens(inModelDirectory: folder)
      _ = try configuration.family.definition.layerLists(configuration)
    }
    return [
      Kind(name: "config.json", seeds: bytes(bert, llama, smol, gemma, gpt), file: "config.json", read: configuration),
      Kind(
        name: "generation_config.json", seeds: bytes(#"{"eos_token_id":[1,2],"bos_token_id":0,"temperature":0.5}"#),
        beside: [("config.json", Array(llama.utf8))], file: "generation_config.json", read: configuration),
    ]
  }

  private static func use(_ weights: any WeightSource) throws {
    for name in weights.names {
      let tensor = try weights.tensor(name)
      // Each byte that the file claims to have is looked at.
      var sum: UInt8 = 0
      for byte in tensor.bytes.prefix(1 << 16) { sum &+= byte }
      if let last = tensor.bytes.last { sum &+= last }
      if sum == 0 { continue }
    }
  }

  /// Makes the length before a safetensors header that of the header.
  static func sealHeader(_ bytes: inout [UInt8]) {
    guard bytes.count > 8 else { return }
    var (depth, end) = (0, 8)
    repeat {
      if bytes[end] == UInt8(ascii: "{") { depth += 1 }
      if bytes[end] == UInt8(ascii: "}") { depth -= 1 }
      end += 1
    } while depth > 0 && end < bytes.count
    for byte in 0..<8 { bytes[byte] = UInt8(truncatingIfNeeded: (end - 8) >> (8 * byte)) }
  }

  static func weights() -> [Kind] {
    func safetensors(_ header: String, _ count: Int) -> [UInt8] {
      let text = Array(header.utf8)
      let length = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
      return length + text + (0..<count).map { UInt8(truncatingIfNeeded: $0) }
    }
    let one = safetensors(
      #"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"#
        + #""b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]}}"#, 22)
    let index = #"{"metadata":{"total_size":22},"weight_map":{"a":"one.safetensors","b":"one.safetensors"}}"#
    let read: (String, String) throws -> Void = { path, _ in try use(SafetensorsFile(path)) }
    return [
      Kind(name: "safetensors", seeds: [one], seal: sealHeader, file: "model.safetensors", read: read),
      Kind(
        name: "index", seeds: bytes(index), beside: [("one.safetensors", one)], file: "model.safetensors.index.json"
      ) { path, _ in try use(ShardedWeights(index: path)) },
      Kind(
        name: "pytorch_model.bin", seeds: [PickleSeeds.archive, PickleSeeds.legacy], file: "pytorch_model.bin"
      ) { path, _ in try use(TorchFile(path)) },
    ]
  }

  static func chains() -> [Kind] {
    let chain = """
      distillation_chain:
        metadata: {dataset: data, task: {kind: classification, text: sentence, labels: [a, b]}, max_length: 128, seed: 42}
        defaults: {learning_rate: 1e-4, num_train_epochs: 5, batch_size: 32, alpha: 0.5, temperature: 2.0, precision: auto}
        parallel: {threads_per_rank: 1}
        steps:
          - step_id: one
            teacher: null
            student_base: {family: bert, num_hidden_layers: 2}
            output_dir: ./out
            hyperparams: {max_steps: 10, save_steps: 5, optimizer: {betas: [0.9, 0.999], max_grad_norm: 1.0}, schedule: linear}

      """
    let cluster = """
      cluster:
        name: laptop
        nodes: 1
        ranks_per_node: 4
        node:
          cores: 8
          memory: 16GiB
          memory_bandwidth: 40GB/s
          disk_bandwidth: 2GB/s
          gflops_per_core: {fp32: 60}
        network:
          within_node: {bandwidth: 8GB/s, latency: 1us}

      """
    return [
      Kind(
        name: "chain.yaml", seeds: bytes(chain), file: "chain.yaml"
      ) { path, _ in _ = try ChainConfiguration(contentsOf: path, environment: [:]) },
      Kind(
        name: "cluster.yaml", seeds: bytes(cluster), file: "cluster.yaml"
      ) { path, _ in
        let sizes = try DecoderSizes(
          DecoderConfiguration(
            ModelConfiguration(
              [
                "model_type": "llama", "vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 2,
                "num_attention_heads": 2, "intermediate_size": 32, "tie_word_embeddings": true,
              ], source: "a test")), family: "llama")
        let work = StepWork(student: sizes, teachers: [sizes], load: TokenLoad(sequences: 8, length: 16))
        let plan = PlanComparison(work, written: Layout(), on: try Cluster(contentsOf: path))
        _ = (plan.text(title: "step"), plan.json(id: "step").text())
      },
    ]
  }
}
