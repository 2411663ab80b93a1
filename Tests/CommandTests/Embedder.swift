import Foundation

extension Command {
  /// A classifier's head in a made model.
  struct MadeHead {
    /// The ending of its class after `Bert`.
    let ending: String
    /// The rows of its last layer.
    let outputs: Int
    /// Further members of config.json, such as `"id2label": {…}`.
    var members = ""

    /// A tagger with the tags O, B-PER, I-PER, B-LOC and I-LOC.
    static let tagger = MadeHead(
      ending: "ForTokenClassification", outputs: 5,
      members: #""id2label": {"0": "O", "1": "B-PER", "2": "I-PER", "3": "B-LOC", "4": "I-LOC"}"#)
    /// A classifier of the labels joy, anger and fear, any number of them.
    static let emotions = MadeHead(
      ending: "ForSequenceClassification", outputs: 3,
      members: #""problem_type": "multi_label_classification", "id2label": {"0": "joy", "1": "anger", "2": "fear"}"#)
    /// A scorer.
    static let scorer = MadeHead(
      ending: "ForSequenceClassification", outputs: 1, members: #""problem_type": "regression""#)
  }

  /// Writes a BERT with random weights and a vocabulary of `w0`, `w1`, …: with a head, or bare, and then as a directory
  /// of sentence-transformers if it has a pooling ("mean_tokens", "cls_token").
  func makeEmbedder(
    _ name: String, layers: Int, hidden: Int, pooling: String? = "mean_tokens", head: MadeHead? = nil
  ) throws {
    let (words, inner, positions) = (40, 2 * hidden, 32)
    let body = head == nil ? "" : "bert."
    var shapes: [(String, [Int])] = [
      ("\(body)embeddings.word_embeddings.weight", [words, hidden]),
      ("\(body)embeddings.position_embeddings.weight", [positions, hidden]),
      ("\(body)embeddings.token_type_embeddings.weight", [2, hidden]),
      ("\(body)embeddings.LayerNorm.weight", [hidden]), ("\(body)embeddings.LayerNorm.bias", [hidden]),
    ]
    func linear(_ name: String, _ outputs: Int, _ inputs: Int) {
      shapes += [("\(name).weight", [outputs, inputs]), ("\(name).bias", [outputs])]
    }
    for layer in 0..<layers {
      let place = "\(body)encoder.layer.\(layer)"
      for part in ["self.query", "self.key", "self.value", "output.dense"] {
        linear("\(place).attention.\(part)", hidden, hidden)
      }
      linear("\(place).intermediate.dense", inner, hidden)
      linear("\(place).output.dense", hidden, inner)
      for norm in ["attention.output", "output"] {
        shapes += ["weight", "bias"].map { ("\(place).\(norm).LayerNorm.\($0)", [hidden]) }
      }
    }
    if head?.ending != "ForTokenClassification" { linear("\(body)pooler.dense", hidden, hidden) }
    if let head { linear("classifier", head.outputs, hidden) }
    let members = head.map { $0.members.isEmpty ? "" : ", \($0.members)" } ?? ""
    try write(
      "\(name)/config.json",
      """
      {"model_type": "bert", "architectures": ["Bert\(head?.ending ?? "Model")"], "vocab_size": \(words), "hidden_size": \(hidden),
       "num_hidden_layers": \(layers), "num_attention_heads": 2, "intermediate_size": \(inner),
       "max_position_embeddings": \(positions), "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0\(members)}
      """)
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    let vocabulary = special + (0..<words - special.count).map { "w\($0)" }
    try write("\(name)/vocab.txt", vocabulary.map { $0 + "\n" }.joined())
    try safetensors(shapes, seed: UInt64(7 * layers + hidden)).write(to: URL(fileURLWithPath: path("\(name)/model.safetensors")))
    guard let pooling else { return }
    try write(
      "\(name)/modules.json",
      """
      [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
       {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
       {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]
      """)
    try write("\(name)/1_Pooling/config.json", "{\"pooling_mode_\(pooling)\": true}")
    try write("\(name)/sentence_bert_config.json", "{\"max_seq_length\": 24, \"do_lower_case\": false}")
  }

  private func safetensors(_ shapes: [(String, [Int])], seed: UInt64) -> Data {
    var (state, header, values) = (seed, [String: Any](), [Float]())
    for (name, shape) in shapes {
      let start = 4 * values.count
      for _ in 0..<shape.reduce(1, *) {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let uniform = Float(state >> 40) / Float(1 << 24) - 0.5
        values.append(name.hasSuffix("LayerNorm.weight") ? 1 + 0.2 * uniform : 0.8 * uniform)
      }
      header[name] = ["dtype": "F32", "shape": shape, "data_offsets": [start, 4 * values.count]]
    }
    var text = (try? JSONSerialization.data(withJSONObject: header)) ?? Data()
    text += Data(repeating: 0x20, count: (8 - text.count % 8) % 8)
    var size = UInt64(text.count).littleEndian
    return Data(bytes: &size, count: 8) + text + values.withUnsafeBytes { Data($0) }
  }

  /// Writes `sentences.jsonl`, and `pairs.tsv` whose scores fall with the words that differ.
  func makeSentences() throws {
    func word(_ index: Int) -> String { "w\(index &* 7919 % 35)" }
    func sentence(_ start: Int, _ count: Int) -> [String] { (start..<start + count).map(word) }
    try write(
      "sentences.jsonl",
      (0..<32).map { "{\"text\": \"\(sentence($0 * 13, 3 + $0 % 9).joined(separator: " "))\"}\n" }.joined())
    let pairs = (0..<16).map { row in
      let (first, changed) = (sentence(row * 5, 8), row % 8)
      let second = (0..<8).map { $0 < changed ? word(row * 31 + $0 + 3) : first[$0] }
      return "\(first.joined(separator: " "))\t\(second.joined(separator: " "))\t\(8 - changed)\n"
    }
    try write("pairs.tsv", "sentence1\tsentence2\tscore\n" + pairs.joined())
  }
}
