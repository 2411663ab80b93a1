import Collectives
import Datasets
import Models
import Objectives
import Platform
import Training

/// A whole chain file, validated: every value in its type, with defaults, and with environment references expanded.
package struct ChainConfiguration: Sendable, Equatable {
  /// The chain file as named on the command line.
  package var file: String
  /// The settings of the whole chain.
  package var metadata: Metadata
  /// The settings of the ranks' cooperation.
  package var parallel: ParallelConfiguration
  /// The steps in order; at least one.
  package var steps: [StepConfiguration]

  /// The canonical text of every resolved value, without file name and line numbers: equal on all ranks that train the
  /// same chain. Its hash identifies the chain.
  package var digestText: String { resolved.text() }

  /// Where a teacher with placement streamed was written; nil without one.
  package var streamedTeacher: String? {
    for step in steps {
      for teacher in step.teacher.entries where teacher.placement?.placement == .streamed {
        return teacher.placementSource?.location(of: "placement")
      }
    }
    guard parallel.teacherPlacement.placement == .streamed else { return nil }
    return parallel.source?.location(of: "teacher.placement") ?? "parallel.teacher.placement"
  }

  /// The index of the step with this `step_id`, or nil.
  package func index(ofStep id: String) -> Int? { steps.firstIndex { $0.id == id } }
}

/// The settings of the whole chain.
package struct Metadata: Sendable, Equatable {
  /// The chain's name in logs and reports. Default: the file's name without its extension.
  package var name: String
  /// The data set. No default.
  package var dataset: DatasetReference
  /// The task and the columns of its data. Default: classification with the reader's usual column names.
  package var task: TaskConfiguration
  /// The most tokens of an example, special ones included; null = only the model's limit. Default: 128.
  package var maxLength: Int?
  /// The seed of every random stream: shuffle, dropout, initialisation. Default: 42.
  package var seed: UInt64
  /// Whether the chain file has `max_length`.
  package var namesMaxLength: Bool
  /// The locations of the keys below `metadata`.
  package var source: SourceLocations
}

/// The chain file's reference to a data set.
package enum DatasetReference: Sendable, Equatable {
  /// A directory with train and validation files, or a hub id.
  case path(String)
  /// Both splits: their files, or directories that have such a split.
  case files(train: [String], validation: [String])
  /// The training split, and the share of its rows that is held out for validation.
  case share(train: [String], validation: Double)
}

/// The task and the columns of its data; nil for a column that the chain file does not name.
package struct TaskConfiguration: Sendable, Equatable {
  /// The kinds of task.
  package typealias Kind = Datasets.TaskKind

  /// The name of a known task, such as sst2. Default: none.
  package var name: String?
  /// Default: `features` if feature columns are named, else `classification`.
  package var kind: Kind = .classification
  /// The column of the text, or several that are joined. Default: that of the named task or of the reader.
  package var text: TextColumns?
  /// The column of a text's words. Default: `tokens`, if the data has it.
  package var tokens: String?
  /// The column of the second text. Default: none. If only this one is named, the first text has a usual name.
  package var textPair: TextColumns?
  /// The column of the label, score, labels, tags or entities. Default: that of the named task or of the reader.
  package var label: String?
  /// Whether training reads labels: false for `label: null`. Default: true.
  package var hasLabels = true
  /// The label names in the order of their numbers. Default: those of the model and the data.
  package var labels: [String]?
  /// The tokens of a word whose class is learnt: the first, or all. Default: first.
  package var subwords = SubwordUse.first
  /// The tokens that two windows of a text longer than `max_length` share. Default (nil): such a text is cut.
  package var stride: WindowStride?
  /// The probability from which a label of several holds, above 0 and below 1. Default (nil): 0.5.
  package var threshold: Double?
  /// How a student's states become a vector: mean or cls. Default (nil): as its base does.
  package var pooling: PoolingMode?
  /// Whether a student's vectors have length 1. Default (nil): as those of its base.
  package var normalizes: Bool?
  /// The form of the labels: names, indices, indices from 1 or truth values. Default: derived from all labels.
  package var labelsAre: LabelReading?
  /// The columns of CSV and TSV files without a header. Default: the header's.
  package var columns: [String]?
  /// The numeric columns of `features`, in order. Default: every column but the label.
  package var features: [String]?
  /// The column of the prompt, which precedes a text and is not predicted. Default: `prompt`, if the data has it.
  package var prompt: String?
  /// The boundary between documents of plain text. Default (nil): `<|endoftext|>` if the file has it, otherwise none.
  package var documents: DocumentCut?
}

/// The settings of the ranks' cooperation.
package struct ParallelConfiguration: Sendable, Equatable {
  /// Threads of a rank. Default (nil): cores divided by the ranks on the machine.
  package var threadsPerRank: Int?
  /// The size of a gradient bucket in units of 2^20 bytes. Default: 4.
  package var bucketMegabytes: Double = 4
  /// Whether tokens, signals and weights are stored outside the output directories. Default: true.
  package var keepsCache = true
  /// The placement of a teacher that has none of its own. Default: resident.
  package var teacherPlacement = TeacherPlacementConfiguration()
  /// The part of a student that is sharded over ranks. Default: the optimizer's moments.
  package var studentSharding: StudentSharding = .optimizer
  /// How ranks exchange gradients and weights. Default: through memory on a node, in float32 between nodes.
  package var exchange = ExchangeOptions()
  /// The limits after which a rank, or the job, counts as hung. Default: 120 s of silence, 600 s without progress.
  package var watchdog = WatchdogLimits()
  /// The locations of the keys; nil if there are none.
  package var source: SourceLocations?
}

/// One step: a student, its teacher and how it is trained.
package struct StepConfiguration: Sendable, Equatable {
  /// The name by which later steps refer to this one. Default: `step_1` for the first, and so on.
  package var id: String
  /// Default: the previous step's student; in the first step none.
  package var teacher: TeacherReference
  /// What the student is before training. No default.
  package var studentBase: StudentReference
  /// Weights taken from the teacher's layers. Default: none.
  package var studentInit: StudentInitialization?
  /// The directory that gets the student; relative to the chain file's directory. No default.
  package var outputDirectory: String
  /// A teacher at chance level is a warning instead of a refusal. Default: false.
  package var allowUntrainedTeacher = false
  /// How terms on logits use several teachers. Default: logits.
  package var combine = TeacherCombination.logits
  /// Whether language models are compared on the tokens that all of them have, where their vocabularies are padded.
  /// Default: false.
  package var sharesVocabulary = false
  /// How it is trained, one stage after the other; at least one.
  package var stages: [StageConfiguration]
  /// Where the keys of this step were written.
  package var source: SourceLocations

  /// The values of the first stage; number format and memory are one for all stages.
  package var hyperparameters: Hyperparameters { stages[0].hyperparameters }

  /// `FILE:LINE: KEY.PATH` of a hyperparameter of a stage: in the stage if it is written there, else in the step.
  func location(of key: String, stage: Int) -> String {
    let own = "stages.\(stage).hyperparams.\(key)"
    return source.location(of: source.positions[own] == nil ? "hyperparams.\(key)" : own)
  }

  static func defaultID(_ index: Int) -> String { "step_\(index + 1)" }
}

/// Which models teach a step.
package enum TeacherReference: Sendable, Equatable {
  /// The student of the step before.
  case previous
  /// None: the student is trained on labels alone.
  case none
  /// One or several that are named.
  case named([TeacherEntry])

  /// The teachers that are named; empty for `previous` and `none`.
  package var entries: [TeacherEntry] { if case .named(let teachers) = self { teachers } else { [] } }

  /// The references as they were written; empty for `previous` and `none`.
  package var references: [String] { entries.map(\.reference) }
}

/// A teacher of a step as the chain file names it.
package struct TeacherEntry: Sendable, Equatable {
  /// A path, a hub id or the `step_id` of an earlier step.
  package var reference: String
  /// What objectives call it. Default (nil): the reference.
  package var name: String?
  /// Its weight among the teachers of the step, above 0. Default: 1.
  package var weight = 1.0
  /// Where it lives. Default (nil): as the chain's `parallel.teacher` says.
  package var placement: TeacherPlacementConfiguration?
  /// Where its own placement was written.
  var placementSource: SourceLocations?
}

/// A training stage of a step.
package struct StageConfiguration: Sendable, Equatable {
  /// What it is called; nil where the step has one stage alone.
  package var name: String?
  /// How it is trained: its own values over the step's over the chain's defaults.
  package var hyperparameters: Hyperparameters
}

/// The initial model of a student.
package enum StudentReference: Sendable, Equatable {
  /// A path, a hub id or the `step_id` of an earlier step.
  case reference(String)
  /// A model configuration with Hugging Face's keys, an object: random initialisation, or with `student_init` the
  /// teacher's weights.
  case configuration(JSON)
}

/// The initial weights that a student gets from its teacher or another model.
package struct StudentInitialization: Sendable, Equatable {
  /// The model with the layers.
  package enum Source: Sendable, Equatable {
    /// The step's teacher.
    case teacher
    /// A path, a hub id, or the `step_id` of an earlier step.
    case model(String)
  }

  /// The layers of another model that become the student's.
  package struct Layers: Sendable, Equatable {
    /// The model with the layers.
    package var source: Source
    /// Layers of the source, counted from 0, that become the student's layers 0, 1, … in this order.
    package var indices: [Int]
  }

  /// The layers from another model; nil: the weights are those of `student_base`.
  package var layers: Layers?
  /// The head: with `new` it is always initialised.
  package var head = StudentHead.fitting
}

/// The locations of keys, for errors that are found long after the file was read.
package struct SourceLocations: Sendable, Equatable {
  var file: String
  var prefix: String
  var positions: [String: String] = [:]
  /// The line of each key of the chain file, by its path below this level; overridden keys are absent.
  package internal(set) var lines: [String: Int] = [:]

  /// `FILE:LINE: KEY.PATH` of a key below this level, such as "teacher" or "hyperparams.batch_size"; for a key that is
  /// not in the file, the line of the nearest level above.
  package func location(of key: String = "") -> String {
    var parts = key.split(separator: ".")
    while !parts.isEmpty, positions[parts.joined(separator: ".")] == nil { parts.removeLast() }
    let path = [prefix, key].filter { !$0.isEmpty }.joined(separator: ".")
    let place = positions[parts.joined(separator: ".")] ?? file
    return place == "--set \(path)" ? place : "\(place): \(path)"
  }

  init(_ cursor: ConfigurationCursor) {
    (file, prefix) = (cursor.file, cursor.path)
    record(cursor.node, cursor.node.origin, "")
  }

  private mutating func record(_ node: ConfigurationNode, _ origin: Origin, _ path: String) {
    positions[path] = origin.text(file: file)
    if case .line(let line) = origin { lines[path] = line }
    switch node.content {
    case .scalar: break
    case .mapping(let entries):
      for entry in entries {
        // Messages show the line of the key, unless the value is from the command line.
        let place = if case .override = entry.value.origin { entry.value.origin } else { entry.origin }
        record(entry.value, place, path.isEmpty ? entry.key : "\(path).\(entry.key)")
      }
    case .sequence(let items):
      for (index, item) in items.enumerated() {
        record(item, item.origin, path.isEmpty ? "\(index)" : "\(path).\(index)")
      }
    }
  }
}
