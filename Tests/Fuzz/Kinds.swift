import Chains
import Collectives
import Datasets
import Models
import Planner
import Platform
import Safetensors
import Tokenizers

/// A kind of file that Retort reads: examples of it, and the reader that is fed with damaged ones.
struct Kind {
  let name: String
  /// Whole files, to be damaged.
  let seeds: [[UInt8]]
  /// Bytes that a reader may have beyond what the process had, whatever is in the file.
  var memory = 512 << 20
  /// Reads the file; throws what the reader throws.
  let read: (_ path: String, _ folder: String) throws -> Void
  /// The file's name in the folder.
  let file: String
  /// Files that stand beside it.
  var beside: [(name: String, content: [UInt8])] = []
}

enum Kinds {
  private static func bytes(_ texts: String...) -> [[UInt8]] { texts.map { Array($0.utf8) } }

  private static let vocabulary =
    ###""[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"[MASK]":4,"the":5,"river":6,"run":7,"##s":8,"a":9,"b":10,"1":11"###
  private static let template =
    #"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"#
    + #""pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"#
    + #""special_tokens":{"[CLS]":{"id":"[CLS]","ids":[2],"tokens":["[CLS]"]}}}"#
  private static let wordPiece =
    #"{"version":"1.0","truncation":{"direction":"Left","max_length":8},"added_tokens":[{"id":4,"content":"[MASK]","#
    + #""lstrip":true,"rstrip":false,"single_word":false,"normalized":false,"special":true},{"id":12,"content":"Ab"}],"#
    + #""normalizer":{"type":"Sequence","normalizers":[{"type":"NFD"},{"type":"Lowercase"},{"type":"StripAccents"},"#
    + #"{"type":"Replace","pattern":{"Regex":"\\s{2,3}"},"content":" "},{"type":"Strip","strip_left":true}]},"#
    + #""pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"[0-9a-c]+"},"#
    + #""behavior":"MergedWithNext","invert":false},{"type":"Digits","individual_digits":true},{"type":"Whitespace"},"#
    + #"{"type":"Punctuation","behavior":"Contiguous"},{"type":"CharDelimiterSplit","delimiter":"b"}]},"post_processor":"#
    + template + ###","decoder":{"type":"WordPiece","prefix":"##","cleanup":true},"model":{"type":"WordPiece","###
    + ###""unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":9,"vocab":{"### + vocabulary + "}}}"
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

  /// Encodes and decodes some text.
  private static func use(_ tokenizer: any Tokenizer) {
    for text in texts {
      let encoding = tokenizer.encode(text, pair: nil, maxLength: 6, addSpecialTokens: true)
      _ = tokenizer.encode(text, pair: "b a", maxLength: nil, addSpecialTokens: true)
      _ = tokenizer.decode(encoding.ids + [-1, 7, 1 << 20], skipSpecialTokens: false)
    }
  }

  private static func tokenizers() -> [Kind] {
    let read: (String, String) throws -> Void = { _, folder in
      if let tokenizer = try loadTokenizer(fromModelDirectory: folder) { use(tokenizer) }
    }
    let file = (name: "tokenizer.json", content: Array(wordPiece.utf8))
    let settings = bytes(
      #"{"tokenizer_class":"BertTokenizer","do_lower_case":true,"truncation_side":"left","pad_token":"<p>","#
        + #""added_tokens_decoder":{"12":{"content":"[E1]","lstrip":true,"special":true}},"extra_special_tokens":["x"]}"#,
      #"{"tokenizer_class":"LlamaTokenizer","legacy":true,"add_prefix_space":false,"bos_token":{"content":"<s>"}}"#)
    return [
      Kind(name: "tokenizer.json", seeds: bytes(wordPiece, bytePairs, byteLevel), read: read, file: "tokenizer.json"),
      Kind(name: "tokenizer_config.json", seeds: settings, read: read, file: "tokenizer_config.json", beside: [file]),
      Kind(
        name: "added_tokens.json", seeds: bytes(#"{"[E1]":12,"[E2]":13}"#), read: read, file: "added_tokens.json",
        beside: [file]),
      Kind(
        name: "special_tokens_map.json", seeds: bytes(#"{"pad_token":{"content":"<p>","lstrip":true},"unk_token":"a"}"#),
        read: read, file: "special_tokens_map.json", beside: [file]),
      Kind(
        name: "vocab.txt", seeds: bytes("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe \r\n##s\n\na\nriver\na\n"), read: read,
        file: "vocab.txt"),
    ]
  }

  private static func models() throws -> [Kind] {
    let bert =
      #"{"model_type":"bert","architectures":["BertForSequenceClassification"],"vocab_size":12,"hidden_size":8,"#
      + #""num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":16,"max_position_embeddings":16,"#
      + #""type_vocab_size":2,"hidden_act":"gelu","layer_norm_eps":1e-12,"id2label":{"0":"a","1":"b"}}"#
    let llama =
      #"{"model_type":"llama","architectures":["LlamaForCausalLM"],"vocab_size":12,"hidden_size":8,"rope_scaling":"#
      + #"{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"#
      + #""original_max_position_embeddings":8},"num_hidden_layers":1,"num_attention_heads":2,"num_key_value_heads":1,"#
      + #""intermediate_size":16,"max_position_embeddings":16,"rms_norm_eps":1e-5,"eos_token_id":[1,2]}"#
    let configuration: (String, String) throws -> Void = { _, folder in
      let configuration = try ModelConfiguration(directory: folder)
      _ = (configuration.vocabularySize, configuration.maximumPositions, configuration.tokenTypes)
      _ = try configuration.stopTokens(inModelDirectory: folder)
    }
    return [
      Kind(name: "config.json", seeds: bytes(bert, llama), read: configuration, file: "config.json"),
      Kind(
        name: "generation_config.json", seeds: bytes(#"{"eos_token_id":[1,2],"bos_token_id":0,"temperature":0.5}"#),
        read: configuration, file: "generation_config.json", beside: [("config.json", Array(llama.utf8))]),
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

  private static func weights() -> [Kind] {
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
      Kind(name: "safetensors", seeds: [one], read: read, file: "model.safetensors"),
      Kind(
        name: "index", seeds: bytes(index), read: { path, _ in try use(ShardedWeights(index: path)) },
        file: "model.safetensors.index.json", beside: [("one.safetensors", one)]),
      Kind(
        name: "pytorch_model.bin", seeds: [PickleSeeds.archive, PickleSeeds.legacy],
        read: { path, _ in try use(TorchFile(path)) }, file: "pytorch_model.bin"),
    ]
  }

  private static func chains() -> [Kind] {
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
        name: "chain.yaml", seeds: bytes(chain),
        read: { path, _ in _ = try ChainConfiguration(contentsOf: path, environment: [:]) }, file: "chain.yaml"),
      Kind(
        name: "cluster.yaml", seeds: bytes(cluster), read: { path, _ in _ = try Cluster(contentsOf: path) },
        file: "cluster.yaml"),
    ]
  }

  private static func data() throws -> [Kind] {
    let tokenizerFile = (name: "tokenizer.json", content: Array(wordPiece.utf8))
    func read(_ path: String, _ folder: String) throws {
      let tokenizer = try loadTokenizer(fromModelDirectory: folder)
      let data = try TokenizedDataset.open(
        path, task: TaskDescription(kind: .classification), tokenizer: tokenizer,
        options: TokenizedDataset.Options(maxLength: 16, vocabularySize: 13, cacheDirectory: nil), on: SoloCommunicator())
      for row in 0..<data.count { _ = data.tokens(row).count }
    }
    func kind(_ file: String, _ seeds: String...) -> Kind {
      Kind(name: file, seeds: seeds.map { Array($0.utf8) }, read: read, file: file, beside: [tokenizerFile])
    }
    return [
      kind("data.tsv", "sentence\tlabel\nthe river\t0\n\"runs\"\t1\n", "text\tlabel\na\tx\nb\ty\n"),
      kind("data.csv", "text,label\n\"the, \"\"river\"\"\",0\nruns,1\n"),
      kind(
        "data.jsonl", #"{"text": "the river", "label": 0}"# + "\n" + #"{"text": "a\u0301b", "label": 1, "x": [1, {}]}"# + "\n",
        #"{"ids": [2, 5, 3], "label": "a"}"# + "\n" + #"{"ids": [2, 6], "label": "b"}"# + "\n"),
      kind("data.json", #"[{"text": "the river", "label": 0}, {"text": "b", "label": 1}]"#),
    ]
  }

  /// All kinds, or those of one name.
  static func all(named name: String?) throws -> [Kind] {
    let kinds = try tokenizers() + models() + weights() + chains() + data()
    guard let name else { return kinds }
    return kinds.filter { $0.name == name }
  }
}
