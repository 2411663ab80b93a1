/// The keys of a chain file, level by level.
enum Keys {
  static let root = ["distillation_chain"]
  static let chain = ["metadata", "defaults", "parallel", "steps"]
  static let metadata = ["name", "dataset", "task", "max_length", "seed"]
  static let dataset = ["train", "validation"]
  static let validation = ["share"]
  static let task = [
    "name", "kind", "text", "text_pair", "tokens", "label", "labels", "labels_are", "subwords", "threshold", "columns",
    "features", "prompt", "documents", "pooling", "normalize", "stride",
  ]
  static let parallel = ["threads_per_rank", "bucket_megabytes", "cache", "teacher", "student", "exchange", "watchdog"]
  static let parallelTeacher = [
    "placement", "ranks", "sharding", "payload", "top_k", "precision", "cache", "cache_limit",
  ]
  static let parallelStudent = ["sharding"]
  static let exchange = ["gradients", "weights", "node_ranks"]
  static let watchdog = ["silence", "progress", "phases"]
  static let step = [
    "step_id", "teacher", "combine", "shared_vocabulary", "student_base", "student_init", "output_dir",
    "allow_untrained_teacher", "hyperparams", "stages",
  ]
  /// The keys of a student's configuration that the model families read; any other key is copied to its config.json.
  static let studentBase = [
    "family", "model_type", "tokenizer", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "intermediate_size", "max_position_embeddings", "type_vocab_size", "hidden_act",
    "rms_norm_eps", "layer_norm_eps", "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout",
    "attention_dropout", "attention_bias", "mlp_bias", "tie_word_embeddings", "rope_theta", "rope_scaling",
    "rope_parameters", "sliding_window", "use_sliding_window", "initializer_range", "projections", "input_size",
    "hidden_sizes", "dropout", "bos_token_id", "eos_token_id", "pad_token_id", "embedding_size", "dim", "n_layers",
    "n_heads", "hidden_dim", "activation", "seq_classif_dropout", "layer_types", "max_window_layers",
    "no_rope_layers", "no_rope_layer_interval", "n_embd", "n_layer", "n_head", "n_inner", "n_positions",
    "activation_function", "layer_norm_epsilon", "hidden_activation", "query_pre_attn_scalar", "rope_local_base_freq",
    "sliding_window_pattern",
    "norm_eps", "norm_bias", "local_attention", "global_attn_every_n_layers", "global_rope_theta", "local_rope_theta",
    "embedding_dropout", "mlp_dropout", "classifier_pooling", "classifier_bias", "classifier_activation",
    "relative_attention_num_buckets",
  ]
  static let studentInit = ["from", "layers", "head"]
  static let hyperparameters = [
    "learning_rate", "num_train_epochs", "max_steps", "batch_size", "batch_tokens", "gradient_accumulation_steps",
    "alpha", "ce_weight", "kd_weight", "temperature", "objective", "objectives", "preset", "optimizer", "schedule",
    "warmup_steps",
    "warmup_ratio", "shuffle", "group_by_length", "dropout", "precision", "activation_checkpointing",
    "evaluation_strategy", "eval_steps", "metric", "early_stopping_patience", "save_steps", "save_total_limit",
    "max_skipped_steps", "logging_steps",
  ]
  static let optimizer = ["weight_decay", "betas", "epsilon", "max_grad_norm"]
  /// The keys of a number that changes over a training stage.
  static let scheduled = ["from", "to", "shape"]
  /// The keys of a teacher given as a mapping.
  static let teacher = ["model", "name", "weight", "parallel"]
  static let stage = ["name", "hyperparams"]

  /// The level at which a misplaced key is known; nil for an unknown key.
  static func home(of key: String) -> String? {
    let levels = [
      ("distillation_chain", chain), ("metadata", metadata), ("metadata.task", task), ("steps", step),
      ("hyperparams", hyperparameters), ("hyperparams.optimizer", optimizer), ("parallel", parallel),
      ("parallel.teacher", parallelTeacher), ("parallel.student", parallelStudent),
      ("parallel.watchdog", watchdog),
    ]
    return levels.first { $0.1.contains(key) }?.0
  }
}
