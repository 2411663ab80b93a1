import Collectives
import Objectives
import Platform

extension ChainConfiguration {
  /// Every value used, by the names of the chain file.
  package var resolved: JSON {
    .object([
      "metadata": metadata.resolved, "parallel": parallel.resolved, "steps": .array(steps.map(\.resolved)),
    ])
  }
}

extension Metadata {
  /// Every value used, by the names of the chain file.
  package var resolved: JSON {
    let data: JSON =
      switch dataset {
      case .path(let path): .string(path)
      case .files(let train, let validation): ["train": .texts(train), "validation": .texts(validation)]
      case .share(let train, let share): ["train": .texts(train), "validation": ["share": .double(share)]]
      }
    return .object([
      "name": .string(name), "dataset": data, "task": task.resolved, "max_length": .optional(maxLength),
      // As text where it needs all 64 bits.
      "seed": Int(exactly: seed).map(JSON.int) ?? .string(String(seed)),
    ])
  }
}

extension TaskConfiguration {
  /// Every value used, by the names of the chain file.
  package var resolved: JSON {
    var object: [String: JSON] = [
      "name": .optional(name), "kind": .string(kind.rawValue), "text": text?.json ?? .null,
      "text_pair": textPair?.json ?? .null, "label": .optional(label), "labels_are": .optional(labelsAre?.rawValue),
      "columns": columns.map { .array($0.map(JSON.string)) } ?? .null,
      "labels": labels.map { .array($0.map(JSON.string)) } ?? .null, "tokens": .optional(tokens),
      "subwords": .string(subwords.rawValue),
      "stride": .optional(stride?.tokens), "threshold": threshold.map(JSON.double) ?? .null,
      "pooling": pooling.map { .string($0.rawValue) } ?? .null, "normalize": normalizes.map(JSON.bool) ?? .null,
      "features": features.map { .array($0.map(JSON.string)) } ?? .null, "prompt": .optional(prompt),
      "documents": .optional(documents?.name),
    ]
    // A missing label key selects the column automatically; with null no labels are read.
    if !hasLabels { object["has_labels"] = false }
    return .object(object)
  }
}

extension ParallelConfiguration {
  /// Every value used, by the names of the chain file.
  package var resolved: JSON {
    .object([
      "threads_per_rank": .optional(threadsPerRank), "bucket_megabytes": .double(bucketMegabytes),
      "cache": .bool(keepsCache),
      "teacher": .object(
        teacherPlacement.resolved),
      "student": ["sharding": .string(studentSharding.rawValue)],
      "exchange": [
        "gradients": .string(exchange.gradients.rawValue), "weights": .string(exchange.weights.rawValue),
        "node_ranks": .optional(exchange.nodeRanks),
      ],
      "watchdog": watchdog.resolved,
    ])
  }
}

extension WatchdogLimits {
  /// Every value used, by the names of the chain file.
  package var resolved: JSON {
    ["silence": .int(silence), "progress": .int(progress), "phases": .object(phases.mapValues { .int($0) })]
  }
}

extension StepConfiguration {
  /// Every value used, by the names of the chain file; a missing teacher is `{"previous": true}`.
  package var resolved: JSON {
    let teacherValue: JSON =
      switch teacher {
      case .none: .null
      case .previous: ["previous": true]
      case .named(let teachers): teachers.count == 1 ? teachers[0].resolved : .array(teachers.map(\.resolved))
      }
    let base: JSON =
      switch studentBase {
      case .reference(let reference): .string(reference)
      case .configuration(let json): json
      }
    var members: [String: JSON] = [
      "step_id": .string(id), "teacher": teacherValue, "student_base": base,
      "student_init": studentInit?.json ?? .null,
      "output_dir": .string(outputDirectory), "allow_untrained_teacher": .bool(allowUntrainedTeacher),
      "hyperparams": hyperparameters.resolved,
    ]
    if teacher.references.count > 1 { members["combine"] = .string(combine.rawValue) }
    if sharesVocabulary { members["shared_vocabulary"] = true }
    if stages.count > 1 {
      members["hyperparams"] = nil
      members["stages"] = .array(
        stages.map { ["name": .optional($0.name), "hyperparams": $0.hyperparameters.resolved] })
    }
    return .object(members)
  }
}

extension TeacherEntry {
  /// Every value used: the reference alone where nothing else is said.
  package var resolved: JSON {
    guard weight != 1 || name != nil || placement != nil else { return .string(reference) }
    var members: [String: JSON] = ["model": .string(reference), "weight": .double(weight)]
    if let name { members["name"] = .string(name) }
    if let placement { members["parallel"] = .object(placement.resolved) }
    return .object(members)
  }
}

extension ObjectiveListing {
  /// The short form by its own keys, any other list written out.
  var resolved: [String: JSON] {
    var members: [String: JSON] = [:]
    if let plain = DistillationObjective(terms).plain {
      members = [
        "ce_weight": .double(plain.ce), "kd_weight": .double(plain.kd), "temperature": .double(plain.temperature),
        "objective": ["kind": .string(ObjectiveRegistry.forwardKL.kind)],
      ]
    } else {
      members["objectives"] = .array(terms.map(\.json))
    }
    if let preset { members["preset"] = .string(preset.rawValue) }
    return members
  }
}

extension Hyperparameters {
  /// Every value used, by the names of the chain file; `alpha` appears as the weights it stands for.
  package var resolved: JSON {
    var members: [String: JSON] = [
      "learning_rate": .double(learningRate), "num_train_epochs": .double(trainEpochs),
      "max_steps": .optional(maxSteps),
      "gradient_accumulation_steps": .int(gradientAccumulationSteps), "optimizer": optimizer.resolved,
      "schedule": .string(schedule.rawValue), "shuffle": .bool(shuffle), "group_by_length": .bool(groupByLength),
      "dropout": dropout.map(JSON.double) ?? .null, "precision": .string(precision.rawValue),
      "activation_checkpointing": .bool(activationCheckpointing), "metric": .optional(metric?.rawValue),
      "early_stopping_patience": .optional(earlyStoppingPatience),
      "save_steps": .optional(saveSteps), "save_total_limit": .optional(saveTotalLimit),
      "max_skipped_steps": .int(maxSkippedSteps), "logging_steps": .int(loggingSteps),
    ]
    members.merge(objectives.resolved) { first, _ in first }
    switch batchSize {
    case .examples(let count): members["batch_size"] = .int(count)
    case .tokens(let count): members["batch_tokens"] = .int(count)
    }
    switch warmup {
    case .steps(let count): members["warmup_steps"] = .int(count)
    case .ratio(let share): members["warmup_ratio"] = .double(share)
    }
    switch evaluation {
    case .epoch: members["evaluation_strategy"] = "epoch"
    case .steps(let every):
      members["evaluation_strategy"] = "steps"
      members["eval_steps"] = .int(every)
    }
    return .object(members)
  }
}

extension Hyperparameters.Optimizer {
  /// Every value used, by the names of the chain file.
  package var resolved: JSON {
    .object([
      "weight_decay": .double(weightDecay), "betas": [.double(beta1), .double(beta2)], "epsilon": .double(epsilon),
      "max_grad_norm": maxGradientNorm.map(JSON.double) ?? .null,
    ])
  }
}

extension JSON {
  fileprivate static func optional(_ value: Int?) -> JSON { value.map(JSON.int) ?? .null }
  /// A single text as a string, several as a list.
  fileprivate static func texts(_ texts: [String]) -> JSON {
    texts.count == 1 ? .string(texts[0]) : .array(texts.map(JSON.string))
  }
  fileprivate static func optional(_ value: String?) -> JSON { value.map(JSON.string) ?? .null }
}
