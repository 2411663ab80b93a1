import Collectives
import Datasets
import Foundation
import Models
import Objectives
import Optimizers
import Platform
import Teachers
import Tensors
import TestSupport
import Testing

@testable import Training

extension RankTests {
  /// The timeline: whole JSON, spans that nest, every rank in it. Here, since a process has one trace at a time.
  @Suite(.timeLimit(.minutes(2))) struct TraceTests {
    struct Span {
      let name: String
      let start: Double
      let end: Double
      let step: Int?
    }

    func trainer(teacher hasTeacher: Bool = true) throws -> (trainer: Trainer, data: TokenizedDataset) {
      let data = try TinyTask.data(13)
      let configuration = TrainingConfiguration(
        seed: 7, totalSteps: 6, batchSize: 5,
        objective: DistillationObjective(crossEntropyWeight: 0.4, distillationWeight: 0.6, temperature: 2),
        schedule: Schedule(.constant, peak: 1e-2, warmup: 0, total: 6), bucketBytes: 4096)
      let teacher = ResidentTeacher(
        name: "teacher", model: try TinyTask.model(hidden: 16, layers: 2, seed: 9), train: data, validation: data)
      return (
        try Trainer(
          configuration, student: try TinyTask.model(hidden: 8, layers: 2), teacher: hasTeacher ? teacher : nil,
          train: data, on: world),
        data
      )
    }

    /// Traces some steps and an evaluation; every rank gets the events of the file.
    func traced(_ limits: Trace.Limits, steps: Int) throws -> (events: [JSON], remark: String?) {
      let directory = try world.broadcast(text: world.isFirst ? Shared.temporaryDirectory("trace") : "")
      let path = joinPath(directory, "trace.json")
      let (trainer, data) = try trainer()
      try Trace.start(on: world, limits: limits)
      for step in 1...steps { _ = try trainer.step(step, batch: [0, 1, 2, 3, 4], epoch: 0) }
      _ = try trainer.evaluate(data)
      let trace = Trace.stop()
      let remark = try trace?.write(to: path, on: world)
      let json = try world.agree { try JSON(contentsOf: path) }
      try world.barrier()
      if world.isFirst { try FileManager.default.removeItem(atPath: directory) }
      return (json["traceEvents"]?.array ?? [], remark ?? nil)
    }

    func spans(_ events: [JSON], rank: Int) -> [Span] {
      events.filter { $0["ph"] == "X" && $0["pid"]?.int == rank }.compactMap { event in
        guard let name = event["name"]?.string, let start = event["ts"]?.double, let duration = event["dur"]?.double
        else { return nil }
        return Span(name: name, start: start, end: start + duration, step: event["args"]?["step"]?.int)
      }
    }

    @Test func `the file has the steps of the window on every rank, and their parts inside them`() throws {
      let (events, remark) = try traced(Trace.Limits(steps: 2...3), steps: 4)
      #expect(remark == nil)
      for rank in 0..<world.size {
        let named = events.filter { $0["pid"]?.int == rank && $0["name"] == "process_name" }
        #expect(named.count == 1 && named[0]["args"]?["name"]?.string?.hasPrefix("rank \(rank) on ") == true)
        let spans = spans(events, rank: rank)
        let steps = spans.filter { $0.name == "step" }
        #expect(steps.map(\.step) == [2, 3])
        #expect(spans.filter { $0.name == "evaluation" }.count == 1)
        for step in steps {
          // Times are rounded to nanoseconds, so what begins or ends together may differ by one.
          let inside = spans.filter { $0.start >= step.start - 0.002 && $0.end <= step.end + 0.002 }
          let names = Set(inside.map(\.name))
          #expect(names.isSuperset(of: ["wait for gradients", "wait for all ranks", "optimizer"]))
          // Five examples: a rank beyond the fifth would have none.
          let parts: Set = [
            "teacher", "batch", "forward", "backward", "embeddings", "layers.0", "layers.1", "loss", "pooler",
            "classifier",
          ]
          if world.size <= 5 { #expect(names.isSuperset(of: parts), "rank \(rank): \(parts.subtracting(names))") }
          if world.size <= 5 {
            let backward = inside.first { $0.name == "backward" }!
            let order = inside.filter { $0.start >= backward.start - 0.002 && $0.end <= backward.end + 0.002 }
              .sorted { $0.start < $1.start }.map(\.name).filter { $0 != "backward" }
            #expect(order == ["loss", "classifier", "pooler", "layers.1", "layers.0", "embeddings"])
          }
        }
      }
    }

    @Test func `spans of a rank nest, and begin after the trace does`() throws {
      let (events, _) = try traced(Trace.Limits(), steps: 3)
      for rank in 0..<world.size {
        let ordered = spans(events, rank: rank).sorted { ($0.start, -$0.end) < ($1.start, -$1.end) }
        #expect(ordered.count > 60 / world.size)
        var open: [Span] = []
        for span in ordered {
          // The clocks of ranks of one machine are one clock, which the ping finds to less than this.
          #expect(span.start > -5000)
          while let last = open.last, last.end <= span.start + 0.002 { open.removeLast() }
          if let last = open.last { #expect(span.end <= last.end + 0.002, "\(span.name) outlives \(last.name)") }
          open.append(span)
        }
      }
    }

    @Test func `each bucket's way is an asynchronous pair with its bytes`() throws {
      let (events, _) = try traced(Trace.Limits(steps: 1...1), steps: 2)
      let begun = events.filter { $0["ph"] == "b" }
      let ended = events.filter { $0["ph"] == "e" }
      #expect(begun.count == ended.count && Set(begun.compactMap { $0["id"]?.string }).count == begun.count)
      for event in begun {
        let end = ended.first { $0["id"] == event["id"] }
        #expect(end?["name"] == event["name"] && end?["ts"]?.double ?? 0 >= event["ts"]?.double ?? .infinity)
        #expect(event["args"]?["bytes"]?.int ?? 0 > 0)
      }
      let (trainer, _) = try trainer()
      let isOneNode = try world.splitByNode().size == world.size
      for rank in 0..<world.size {
        let names = begun.filter { $0["pid"]?.int == rank }.compactMap { $0["name"]?.string }
        // An embedding table travels by itself, the rows that the step touches.
        let expected = world.size == 1 ? 0 : trainer.flat.buckets.count + trainer.tables.count
        #expect(names.filter { $0 == "sum of gradients" }.count == expected)
        // On one node nothing is sent.
        #expect(names.allSatisfy { $0 == "sum of gradients" } || !isOneNode)
      }
    }

    @Test func `what has no room is counted, and the file stays whole`() throws {
      let (events, remark) = try traced(Trace.Limits(events: 10), steps: 2)
      #expect(events.filter { $0["ph"] == "X" || $0["ph"] == "b" }.count == 10 * world.size)
      #expect(remark?.contains("exceeded the trace's memory") == true)
    }

    @Test func `nothing is recorded while nothing is traced`() throws {
      let (trainer, _) = try trainer()
      _ = try trainer.step(1, batch: [0, 1, 2, 3, 4], epoch: 0)
      #expect(Trace.stop() == nil)
    }

    @Test func `a file that cannot be written is refused on every rank alike`() throws {
      let directory = try world.broadcast(text: world.isFirst ? Shared.temporaryDirectory("trace") : "")
      try Trace.start(on: world)
      let trace = Trace.stop()
      let error = #expect(throws: RetortError.self) { try trace?.write(to: directory + "/none/trace.json", on: world) }
      #expect(error?.kind == .configuration && error?.isCollective == true)
      try world.barrier()
      if world.isFirst { try FileManager.default.removeItem(atPath: directory) }
    }

    @Test func `a rank that fails alone writes its own part beside the file`() throws {
      for (path, expected) in [
        ("a.b/trace.json", "a.b/trace.rank3.json"), ("trace", "trace.rank3"), ("a.b/.trace", "a.b/.trace.rank3"),
      ] { #expect(Trace.path(path, ofRank: 3) == expected) }
      let directory = try Shared.temporaryDirectory("trace")
      defer { try? FileManager.default.removeItem(atPath: directory) }
      let path = Trace.path(directory + "/trace.json", ofRank: world.rank)
      try Trace.start(on: world)
      Trace.span(named: "a \"name\"") {}
      try Trace.stop()?.writeAlone(to: path)
      let events = try JSON(contentsOf: path)["traceEvents"]?.array ?? []
      #expect(events.filter { $0["ph"] == "X" }.map { $0["name"] } == ["a \"name\""])
      #expect(events.allSatisfy { $0["pid"]?.int == world.rank })
    }

    @Test func `a step counts what the student and the teacher computed, whatever the number of ranks`() throws {
      let (trainer, data) = try trainer()
      let batch = [0, 3, 5, 7, 11]
      let lengths = batch.map { data.length($0) }
      let record = try trainer.step(1, batch: batch, epoch: 0)
      let teacher = try TinyTask.model(hidden: 16, layers: 2).forwardFLOPs(lengths: lengths)
      #expect(record.flops == 3 * trainer.student.forwardFLOPs(lengths: lengths) + teacher)
      let taught = try world.allReduce(record.teacherFLOPs, .sum)
      #expect(taught == teacher)
      let alone = try self.trainer(teacher: false).trainer
      #expect(try alone.step(1, batch: batch, epoch: 0).flops == 3 * alone.student.forwardFLOPs(lengths: lengths))
    }
  }
}
