/// The keys of a chain file, level by level.
enum Keys {
  static let root = ["distillation_chain"]
  static let chain = ["metadata", "defaults", "parallel", "steps"]
  static let metadata = ["name", "dataset", "task", "max_length", "seed"]
  static let dataset = ["train", "validation"]
  static let task = ["name", "kind", "text", "text_pair", "label", "labels", "features", "prompt", "documents"]
  static let parallel = ["threads_per_rank", "bucket_megabytes", "cache", "teacher", "student"]
  static let parallelTeacher = [
    "placement", "ranks", "sharding", "payload", "top_k", "precision", "cache", "cache_limit",
  ]
  static let parallelStudent = ["sharding"]
  static let step = [
    "step_id", "teacher", "student_base", "student_init", "output_dir", "allow_untrained_teacher", "hyperparams",
  ]
  /// What the families read of a student that is written out; any other key goes to its config.json as it is.
  static let studentBase = [
    "family", "model_type", "tokenizer", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "intermediate_size", "max_position_embeddings", "type_vocab_size", "hidden_act",
    "rms_norm_eps", "layer_norm_eps", "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout",
    "attention_dropout", "attention_bias", "mlp_bias", "tie_word_embeddings", "rope_theta", "rope_scaling",
    "rope_parameters", "sliding_window", "use_sliding_window", "initializer_range", "projections", "input_size",
    "hidden_sizes", "dropout", "bos_token_id", "eos_token_id",
  ]
  static let studentInit = ["from", "layers", "head"]
  static let hyperparameters = [
    "learning_rate", "num_train_epochs", "max_steps", "batch_size", "batch_tokens", "gradient_accumulation_steps",
    "alpha", "ce_weight", "kd_weight", "temperature", "objective", "optimizer", "schedule", "warmup_steps",
    "warmup_ratio", "shuffle", "group_by_length", "dropout", "precision", "activation_checkpointing",
    "evaluation_strategy", "eval_steps", "metric", "early_stopping_patience", "save_steps", "save_total_limit",
    "logging_steps",
  ]
  static let optimizer = ["weight_decay", "betas", "epsilon", "max_grad_norm"]
  static let objective = ["kind"]

  /// The place of a key that is known, but elsewhere.
  static func home(of key: String) -> String? {
    let levels = [
      ("distillation_chain", chain), ("metadata", metadata), ("metadata.task", task), ("steps", step),
      ("hyperparams", hyperparameters), ("hyperparams.optimizer", optimizer), ("parallel", parallel),
      ("parallel.teacher", parallelTeacher), ("parallel.student", parallelStudent),
    ]
    return levels.first { $0.1.contains(key) }?.0
  }
}

/// The name that a mistyped one most likely means, or nil when none is near.
///
/// Near: a third of its letters changed at most (two in short names), or the one is a part of the other
/// (`epochs` of `num_train_epochs`).
func nearestName(to name: String, among known: [String]) -> String? {
  let wanted = Array(name.lowercased().utf8)
  let measured = known.map { ($0, editDistance(wanted, Array($0.lowercased().utf8))) }
  if let best = measured.min(by: { $0.1 < $1.1 }), best.1 <= max(min(2, wanted.count - 1), wanted.count / 3) {
    return best.0
  }
  let lowered = name.lowercased()
  return known.first { candidate in
    (lowered.count >= 4 && candidate.contains(lowered)) || (candidate.count >= 4 && lowered.contains(candidate))
  }
}

/// The known name of which another is a misspelling: two letters changed at most, in a name that is not short.
func misspelledName(_ name: String, among known: [String]) -> String? {
  guard !known.contains(name) else { return nil }
  return known.first { $0.count > 5 && editDistance(Array(name.lowercased().utf8), Array($0.utf8)) <= 2 }
}

/// Letters inserted, removed, replaced or swapped with their neighbour to turn one name into the other.
private func editDistance(_ first: [UInt8], _ second: [UInt8]) -> Int {
  var older = [Int](repeating: 0, count: second.count + 1)
  var last = Array(0...second.count)
  for i in first.indices {
    var row = [i + 1] + [Int](repeating: 0, count: second.count)
    for j in second.indices {
      row[j + 1] = min(last[j + 1] + 1, row[j] + 1, last[j] + (first[i] == second[j] ? 0 : 1))
      if i > 0, j > 0, first[i] == second[j - 1], first[i - 1] == second[j] {
        row[j + 1] = min(row[j + 1], older[j - 1] + 1)
      }
    }
    (older, last) = (last, row)
  }
  return last[second.count]
}
