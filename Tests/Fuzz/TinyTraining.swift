import Collectives
import Datasets
import Models
import Objectives
import Optimizers
import Platform
import Tensors
import Training

/// Eight steps of training that end in milliseconds and come to the same bytes each time.
enum TinyTraining {
  static let configuration: JSON = [
    "model_type": "bert", "architectures": ["BertForSequenceClassification"], "vocab_size": 12, "hidden_size": 4,
    "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 4, "max_position_embeddings": 8,
    "type_vocab_size": 2, "id2label": ["0": "a", "1": "b"], "initializer_range": 0.2,
  ]

  private final class Silent: TrainingObserver {
    func trained(_ record: StepRecord) {}
    func evaluated(_ record: EvaluationRecord) {}
    func note(_ text: String) {}
    func warning(_ text: String) {}
  }

  private static func data(_ count: Int, seed: UInt64) throws -> TokenizedDataset {
    var chance = Chance(seed: seed)
    let examples = (0..<count).map { _ -> TokenizedExample in
      let ids = (0...chance.below(6)).map { _ in Int32(chance.below(12)) }
      return TokenizedExample(ids: ids, label: ids[0] < 6 ? 0 : 1)
    }
    return try TokenizedDataset(examples: examples, labels: LabelSet(count: 2))
  }

  /// Trains to the end, from the newest checkpoint of a directory on; the best student's weights.
  static func run(_ directory: String) throws -> [UInt8] {
    let model = try ModelLoader.load(
      ModelConfiguration(configuration, source: "tiny"), from: .random, seed: 2)
    let train = try data(8, seed: 1)
    let values = TrainingConfiguration(
      seed: 7, totalSteps: 8, batchSize: .examples(2),
      objective: DistillationObjective(crossEntropyWeight: 1, distillationWeight: 0, temperature: 1),
      schedule: Schedule(.constant, peak: 1e-2, warmup: 0, total: 8), evaluation: .steps(3), saveSteps: 2)
    let trainer = try Trainer(values, student: model.model, teacher: nil, train: train, on: SoloCommunicator())
    let run = try TrainingRun(
      trainer, train: train, validation: data(4, seed: 2), planDigest: Digest.of("tiny"), directory: directory,
      observer: Silent(), on: SoloCommunicator())
    _ = try run.run()
    return Array(try readFile(run.verifiedBestWeights()))
  }
}

/// The files below a directory, by their paths in it.
func tree(_ directory: String, below: String = "") throws -> [(name: String, content: [UInt8])] {
  try listDirectory(joinPath(directory, below)).flatMap { name -> [(name: String, content: [UInt8])] in
    let path = below.isEmpty ? name : "\(below)/\(name)"
    if isDirectory(joinPath(directory, path)) { return try tree(directory, below: path) }
    return [(path, Array(try readFile(joinPath(directory, path))))]
  }
}
