import Collectives
import Datasets
import Foundation
import Models
import Objectives
import Optimizers
import Platform
import Teachers
import Tensors
import Training

/// How a work is timed.
package struct BenchmarkOptions: Sendable, Equatable {
  /// Examples of an optimizer step on each rank.
  package var batch = 32
  /// Tokens of an example; with `lengths` the most tokens.
  package var sequence = 128
  /// Timed optimizer steps.
  package var steps = 8
  /// Optimizer steps before the timed ones.
  package var warmup = 2
  /// The number of times that the timed steps are repeated.
  package var epochs = 1
  /// The precision of teacher and student.
  package var precision = Precision.fp32
  /// The objectives of the loss; by default 0.5 · cross-entropy + 0.5 · forward KL at temperature 2.
  package var objective = DistillationObjective(crossEntropyWeight: 0.5, distillationWeight: 0.5, temperature: 2)
  /// Timed optimizer steps between checkpoints, which are part of the time; nil for none.
  package var saveSteps: Int?
  /// How ranks exchange gradients and weights.
  package var exchange = ExchangeOptions()
  /// Real lengths of examples; batches then have examples of similar lengths, as in training.
  package var lengths: [Int]?

  /// Makes the default options.
  package init() {}
}

/// A run of one timed work.
package enum BenchmarkRun {
  /// Times teacher forward, student forward, loss, backward, exchange and AdamW; collective.
  ///
  /// - Returns: the figures under the keys of the PyTorch program with the same work, for one JSON line.
  package static func time(
    _ work: BenchmarkWork, _ options: BenchmarkOptions, version: String, on communicator: any Communicator
  ) throws -> JSON {
    let plan = batches(options, ranks: communicator.size)
    let data = try work.data(lengths: plan.lengths, seed: 1)
    let trainer = try Trace.span("load models") { try makeTrainer(work, options, data, communicator) }
    let before = try ArithmeticLimit.measure(options.precision, on: communicator)
    let clock = ContinuousClock()
    var (times, records, saveTimes): ([Double], [StepRecord], [Double]) = ([], [], [])
    let saves = try options.saveSteps.map { _ in try BenchmarkSaves(of: trainer, on: communicator) }
    var (step, growths) = (0, 0)
    Trace.beginTraining()
    let order = plan.order(options)
    for (index, batch) in order.enumerated() {
      try communicator.barrier()
      // Count growths in the last epoch: every shape has occurred by then, unless there is only one epoch.
      if index == order.count - options.steps { growths = StoragePool.systemAllocations }
      let start = clock.now
      step += 1
      let record = try trainer.step(step, batch: batch, epoch: 0)
      // Checkpoints before the timed ones, so that these overwrite the files of earlier ones, as in a long run.
      if let every = options.saveSteps, index < options.warmup || (index + 1 - options.warmup) % every == 0 {
        let before = clock.now
        try saves?.save(after: step)
        if index >= options.warmup { saveTimes.append((clock.now - before).seconds) }
      }
      try communicator.barrier()
      if index >= options.warmup {
        times.append((clock.now - start).seconds)
        records.append(record)
      }
    }
    // On a shared machine the better of two measurements is closer to its real speed.
    let after = try ArithmeticLimit.measure(options.precision, on: communicator)
    let limits = zip(before.rates, after.rates).map { max($0, $1) }
    var line = figures(work, options, version, times, records, limits, communicator)
    let teacherBytes = trainer.teacherParameterCount * (options.precision == .bf16 ? 2 : 4)
    let exposed = try ExchangeSeconds.exposed(records.map(\.exchange), on: communicator)
    line["communication_share"] = .double((1e4 * exposed / times.reduce(0, +)).rounded() / 1e4)
    if options.saveSteps != nil {
      try saves?.finish()
      saveTimes.sort()
      line["saves"] = .int(saveTimes.count)
      line["save_s"] = saveTimes.isEmpty ? .null : .double((1e4 * saveTimes[saveTimes.count / 2]).rounded() / 1e4)
    }
    line["pool_growths"] = .int(StoragePool.systemAllocations - growths)
    line["teacher_mib"] = .double((Double(teacherBytes) / Double(1 << 20)).rounded())
    return .object(line)
  }

  /// The global batches of a run, as indices into examples of these lengths.
  struct Batches {
    var lengths: [Int] = []
    var batches: [[Int]] = []

    /// The warm-up steps, then the timed steps once per epoch.
    func order(_ options: BenchmarkOptions) -> [[Int]] {
      let timed = Array(batches.dropFirst(options.warmup))
      return batches.prefix(options.warmup) + (0..<options.epochs).flatMap { _ in timed }
    }
  }

  /// The batches of a run. Real lengths are grouped over the whole list first, so that the timed steps have batches of
  /// all lengths.
  static func batches(_ options: BenchmarkOptions, ranks: Int) -> Batches {
    let (size, count) = (options.batch * ranks, options.warmup + options.steps)
    var result = Batches()
    let real = (options.lengths ?? []).map { Int32(min(max(1, $0), options.sequence)) }
    let sampler = Sampler(
      lengths: real, batchSize: .examples(size), shuffle: true, groupByLength: true, seed: 0)
    let groups = real.isEmpty ? [] : sampler.batches(epoch: 0).filter { $0.count == size }
    for index in 0..<count {
      let lengths =
        groups.isEmpty
        ? Array(repeating: options.sequence, count: size) : groups[index % groups.count].map { Int(real[$0]) }
      result.batches.append(Array(result.lengths.count..<result.lengths.count + size))
      result.lengths += lengths
    }
    return result
  }

  private static func makeTrainer(
    _ work: BenchmarkWork, _ options: BenchmarkOptions, _ data: any ExampleSource, _ communicator: any Communicator
  ) throws -> Trainer {
    let teacher = try work.teacher.map { try makeTeacher(work, $0, options, data, communicator) }
    let total = options.warmup + options.epochs * options.steps
    let configuration = TrainingConfiguration(
      seed: 0, totalSteps: total, batchSize: .examples(options.batch * communicator.size),
      objective: objective(work, options),
      schedule: Schedule(.constant, peak: 1e-4, warmup: 0, total: total), precision: options.precision,
      exchange: options.exchange)
    let student = try work.model(work.student, seed: 2)
    let stage = try TrainingStage(
      configuration, student: (student as? any StagedModel)?.shape, teachers: teacher.map { [$0.shape] } ?? [])
    return try Trainer([stage], student: student, teachers: teacher.map { [$0] } ?? [], train: data, on: communicator)
  }

  private static func objective(_ work: BenchmarkWork, _ options: BenchmarkOptions) -> DistillationObjective {
    if work.teacher != nil { return options.objective }
    return DistillationObjective([ObjectiveTerm(ObjectiveRegistry.crossEntropy, weight: Scheduled(1))])
  }

  /// A teacher of random weights.
  private static func makeTeacher(
    _ work: BenchmarkWork, _ shape: BenchmarkWork.Shape, _ options: BenchmarkOptions, _ data: any ExampleSource,
    _ communicator: any Communicator
  ) throws -> any Teacher {
    // One copy per node, as in training.
    let frozen = try FrozenModel(
      work.configuration(shape), from: .random, seed: 1, precision: options.precision)
    let remark = try load(frozen, on: communicator)
    let resident = ResidentTeacher(
      name: "teacher", frozen: frozen, train: data, validation: data, precision: options.precision
    ) { _ in remark }
    // One epoch times the teacher in each step; with more, its signals are cached in memory, as in training. Signals of
    // language models are never cached.
    if options.epochs == 1 || work.kind == .decoder { return resident }
    return CachedTeacher(
      resident, train: data, validation: data,
      store: SignalStore(root: nil, key: Digest.of(work.name), width: resident.classCount))
  }

  /// Loads as training with a cache does: one rank of each node writes a file and all map it; here the file is then
  /// unlinked.
  private static func load(_ frozen: FrozenModel, on communicator: any Communicator) throws -> String? {
    let node = try communicator.splitByNode()
    var name = Array((NSTemporaryDirectory() + "/retort-bench-XXXXXX").utf8CString)
    let made = node.isFirst && mkdtemp(&name) != nil
    let root = try node.broadcast(
      text: made ? String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self) : "")
    defer { if made { try? FileManager.default.removeItem(atPath: root) } }
    let kept = root.isEmpty ? nil : try? KeptWeights(root: root, key: Digest.of(frozen.form), limit: .max)
    guard try communicator.all(kept != nil), let kept else { return try NodeWeights.load(frozen, on: communicator) }
    let remark = kept.load(frozen)
    // The mapping outlives the name.
    try node.barrier()
    return remark
  }

  /// Checkpoints in a temporary directory, which is removed with this object.
  private final class BenchmarkSaves {
    private let saves: PeriodicSaves
    private let directory: String?

    init(of trainer: Trainer, on communicator: any Communicator) throws {
      var name = Array((NSTemporaryDirectory() + "/retort-bench-XXXXXX").utf8CString)
      let made = communicator.isFirst && mkdtemp(&name) != nil
      directory = made ? String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
      let path = try communicator.broadcast(text: directory ?? "")
      if path.isEmpty {
        throw RetortError(
          .checkpoint, "cannot make a directory for checkpoints", at: NSTemporaryDirectory(),
          remedy: "set TMPDIR to a directory with space")
      }
      saves = PeriodicSaves(path, of: trainer, on: communicator)
    }

    deinit { if let directory { try? FileManager.default.removeItem(atPath: directory) } }

    func save(after step: Int) throws { try saves.save(after: step) }
    func finish() throws { try saves.finish() }
  }

  private static func figures(
    _ work: BenchmarkWork, _ options: BenchmarkOptions, _ version: String, _ times: [Double], _ records: [StepRecord],
    _ limits: [Double], _ communicator: any Communicator
  ) -> [String: JSON] {
    let total = times.reduce(0, +)
    let sorted = times.sorted()
    let median = sorted.isEmpty ? 0 : (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    let limit = limits.reduce(0, +)
    let rate = records.reduce(0) { $0 + $1.flops } / total * 1e-9
    let teacherSeconds = records.reduce(0) { $0 + $1.teacherSeconds }
    let taught = records.reduce(0) { $0 + $1.teacherFLOPs } * 1e-9
    func round(_ value: Double, _ scale: Double) -> JSON { .double((value * scale).rounded() / scale) }
    return [
      "peer": .string("retort \(version)"), "work": .string(work.name),
      "precision": .string(options.precision.rawValue), "compile": false,
      "ranks": .int(communicator.size), "threads": .int(LinearAlgebraLibrary.threads), "batch": .int(options.batch),
      "seq": .int(options.sequence), "lengths": .bool(options.lengths != nil), "group_by_length": true,
      "objectives": .array(objective(work, options).activeTerms.map { .string($0.kind) }),
      "wire": .array([.string(options.exchange.gradients.rawValue), .string(options.exchange.weights.rawValue)]),
      "epochs": .int(options.epochs), "median_step_s": round(median, 1e4),
      "min_step_s": round(sorted.first ?? 0, 1e4),
      "examples_per_s": round(Double(records.reduce(0) { $0 + $1.examples }) / total, 100),
      "real_tokens_per_s": round(Double(records.reduce(0) { $0 + $1.tokens }) / total, 10),
      "teacher_share": round(teacherSeconds / total, 1000),
      "gflops_per_rank": round(rate / Double(communicator.size), 10), "mfu": round(rate / limit, 1000),
      "gemm_gflops": round(limit / Double(communicator.size), 10),
      "teacher_gemm_share": taught > 0 ? round(taught / teacherSeconds / limits[communicator.rank], 1000) : .null,
      "peak_rss_mib": .int(usage.ru_maxrss / 1024),
      "pss_mib": ProcessMemory.proportionalBytes.map { .int($0 >> 20) } ?? .null,
    ]
  }
}
