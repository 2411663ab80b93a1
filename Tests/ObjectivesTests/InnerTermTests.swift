import Autograd
import Datasets
import Foundation
import Layers
import Models
import Platform
import Tensors
import TestSupport
import Testing

@testable import Objectives

/// What every term inside the models must hold, on a small encoder and a wider teacher.
@Suite struct InnerTermTests {
  /// A student of hidden size 8 and a teacher of 12, both with 2 heads and 2 layers.
  private func models(teacherHidden: Int = 12) throws -> (student: any StagedModel, teacher: any StagedModel) {
    let student = try #require(try TinyTask.model(hidden: 8, layers: 2, dropout: 0) as? any StagedModel)
    let teacher = try #require(
      try TinyTask.model(hidden: teacherHidden, layers: 2, dropout: 0, seed: 5) as? any StagedModel)
    return (student, teacher)
  }

  private func innerTerm(_ term: ObjectiveTerm, _ student: any StagedModel, _ teacher: any StagedModel) throws
    -> InnerTerm
  {
    let terms = try DistillationObjective([term]).innerTerms(
      student: student.shape, teachers: [teacher.shape], seed: 0)
    return try #require(terms.first)
  }

  private func signals(_ teacher: any StagedModel, _ term: InnerTerm, _ batch: Batch) -> TeacherSignals {
    let observer = RecordingObserver(term.needs)
    let context = ForwardContext.inference(observer: observer)
    _ = teacher.forward(batch, context)
    var values: [PassPoint: Tensor] = [:]
    for (point, value) in observer.values {
      let isCut = term.needs[point] == .firstTokens && value.rows > batch.count
      values[point] =
        isCut
        ? context.tape.selectRows(Variable(constant: value), Array(batch.offsets.dropLast())).value : value
    }
    return TeacherSignals(nil, values: values)
  }

  /// The mean of the term over a batch, and the gradients of the student's weights and of projections.
  private func run(
    _ term: InnerTerm, _ student: any StagedModel, _ teacher: any StagedModel, _ batch: Batch, recording: Bool,
    checkpoints: Bool = false
  ) -> Double {
    let counts = StepCounts(rows: batch.count, labelled: batch.count, lengths: batch.lengths, isCausal: false)
    let observer = InnerTermObserver(
      [term], signals: [signals(teacher, term, batch)], offsets: batch.offsets, weights: [1], counts: counts)
    let tape = Tape(recording: recording)
    let context = ForwardContext(
      tape: tape, observer: observer, checkpoints: checkpoints ? student.layerBlocks : 0..<0)
    _ = student.forward(batch, context)
    if recording { tape.backward() }
    return observer.sums[0] / term.denominator(counts)
  }

  @Test func `gradients are those of finite differences, of projections too, shared or not`() throws {
    let batch = try TinyTask.data(4).batch([0, 1, 2, 3])
    for term in ObjectiveCases.inner {
      let (student, teacher) = try models()
      let inner = try innerTerm(term, student, teacher)
      let projections = inner.parameters.flatMap(\.parameters)
      let parameters = student.parameters + projections
      for parameter in parameters { parameter.gradient = .zeros(parameter.shape) }
      _ = run(inner, student, teacher, batch, recording: true)
      var (squares, errors) = (0.0, 0.0)
      for parameter in parameters {
        for place in stride(from: 0, to: parameter.count, by: max(1, parameter.count / 3)) {
          let kept = parameter.value.floats[place]
          func moved(_ by: Float) -> Double {
            parameter.value.floats[place] = kept + by
            defer { parameter.value.floats[place] = kept }
            return run(inner, student, teacher, batch, recording: false)
          }
          let numeric = (moved(4e-3) - moved(-4e-3)) / 8e-3
          let analytic = Double(parameter.gradient!.floats[place])
          squares += numeric * numeric
          errors += (numeric - analytic) * (numeric - analytic)
        }
      }
      #expect(squares > 1e-9, "\(term.kind) moves nothing")
      #expect(errors.squareRoot() < 0.01 * squares.squareRoot() + 1e-4, "\(term.kind): \(errors) of \(squares)")
      #expect(projections.isEmpty == (inner.objective.projection == nil), "\(term.kind)")
    }
  }

  @Test func `recomputed layers bring their terms along, to the same bits`() throws {
    let batch = try TinyTask.data(5).batch([0, 1, 2, 3, 4])
    for term in ObjectiveCases.inner {
      func gradients(_ checkpoints: Bool) throws -> (Double, [[Float]]) {
        let (student, teacher) = try models()
        let inner = try innerTerm(term, student, teacher)
        let parameters = student.parameters + inner.parameters.flatMap(\.parameters)
        for parameter in parameters { parameter.gradient = .zeros(parameter.shape) }
        let value = run(inner, student, teacher, batch, recording: true, checkpoints: checkpoints)
        return (value, parameters.map { $0.gradient!.array })
      }
      let (plain, again) = (try gradients(false), try gradients(true))
      #expect(plain.0 == again.0 && plain.1 == again.1, "\(term.kind)")
    }
  }

  @Test func `two equal models give zero, and an example's term does not depend on the batch`() throws {
    let data = try TinyTask.data(6)
    for term in ObjectiveCases.inner where term.options.word("projection") != "always" {
      let (student, _) = try models()
      let inner = try innerTerm(term, student, student)
      let all = run(inner, student, student, data.batch([0, 1, 2, 3, 4, 5]), recording: false)
      #expect(all >= 0 && all < 1e-9, "\(term.kind): \(all)")
      if inner.comparesBatch { continue }
      let (small, large) = try models(teacherHidden: 8)
      let other = try innerTerm(term, small, large)
      func sum(_ samples: [Int]) -> Double {
        let batch = data.batch(samples)
        let counts = StepCounts(rows: 1, labelled: 1, lengths: batch.lengths, isCausal: false)
        return run(other, small, large, batch, recording: false) * other.denominator(counts)
      }
      let parts = sum([0, 1]) + sum([2, 3, 4, 5])
      #expect(abs(sum([0, 1, 2, 3, 4, 5]) - parts) < 1e-4 * abs(parts), "\(term.kind)")
    }
  }

  @Test func `attention is compared with the factor of q·k that each model has`() throws {
    func model(_ changes: [String: JSON]) throws -> any StagedModel {
      let keys: [String: JSON] = [
        "model_type": "gpt2", "vocab_size": 2000, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 64,
        "initializer_range": 0.5,
      ]
      let configuration = try ModelConfiguration(.object(keys.merging(changes) { $1 }), source: "a test")
      let model = try #require(try ModelLoader.build(configuration) as? any StagedModel)
      model.initialize(seed: 3)
      return model
    }
    let (student, teacher) = (try model([:]), try model(["scale_attn_weights": false]))
    let (batch, term) = (try TinyTask.data(4).batch([0, 1, 2, 3]), ObjectiveTerm(AttentionKL.self, [:]))
    #expect(run(try innerTerm(term, student, teacher), student, teacher, batch, recording: false) > 1e-4)
    // Queries of half the size, with a factor of 1 instead of 1/√4.
    for parameter in teacher.parameters where parameter.name.contains("projection") {
      let queries = parameter.value.rows(0..<8)
      queries.update(from: Tensor(queries.array.map { $0 / 2 }, queries.shape))
    }
    #expect(abs(run(try innerTerm(term, student, teacher), student, teacher, batch, recording: false)) < 1e-9)
  }

  @Test func `what cannot be compared is refused with its key`() throws {
    let (student, teacher) = try models()
    func refusal(_ kind: any Objective.Type, _ options: [String: OptionValue]) -> String? {
      do {
        _ = try innerTerm(ObjectiveTerm(kind, options), student, teacher)
        return nil
      } catch let error as TermRefusal { return error.refusal.key ?? "" } catch { return "\(error)" }
    }
    #expect(refusal(HiddenMSE.self, ["projection": .word("none")]) == "projection")
    #expect(refusal(HiddenMSE.self, ["layers": .layers(.pairs([LayerPair(3, 1)]))]) == "layers")
    #expect(refusal(AttentionKL.self, ["layers": .layers(.pairs([LayerPair(0, 1)]))]) == "layers")
    #expect(refusal(RelationKL.self, ["relation_heads": .count(3)]) == "relation_heads")
    #expect(refusal(RelationKL.self, ["relation_heads": .count(4)]) == nil)
  }

  @Test func `attention is compared only between layers with the same window`() throws {
    func shape(_ reaches: [Int?]) -> ModelShape {
      ModelShape(
        layers: 2, hidden: 8, heads: 2, keyValueHeads: 2, headSize: 4, isCausal: false, hasPooler: false,
        reaches: reaches)
    }
    func pairs(_ kind: any InnerObjective.Type, _ student: [Int?], _ teacher: [Int?]) throws -> Int {
      let term = ObjectiveTerm(kind, [:])
      let objective = try #require(kind.init(term.options) as? any InnerObjective)
      return try objective.pairs(student: shape(student), teacher: shape(teacher)).count
    }
    #expect(try pairs(AttentionKL.self, [nil, 4], [nil, 4]) == 2)
    #expect(throws: ObjectiveRefusal.self) { try pairs(AttentionKL.self, [nil, 4], [nil, 5]) }
    #expect(throws: ObjectiveRefusal.self) { try pairs(AttentionKL.self, [nil, nil], [nil, 4]) }
    #expect(throws: ObjectiveRefusal.self) { try pairs(AttentionMSE.self, [nil, 4], [nil, 4]) }
    #expect(try pairs(AttentionMSE.self, [], []) == 2)
    #expect(try pairs(RelationKL.self, [nil, 4], [4, nil]) == 1)
    var biased = shape([])
    biased.hasAttentionBias = true
    for kind in [AttentionKL.self, AttentionMSE.self] as [any InnerObjective.Type] {
      let objective = try #require(kind.init(ObjectiveTerm(kind, [:]).options) as? any InnerObjective)
      #expect(throws: ObjectiveRefusal.self) { try objective.pairs(student: biased, teacher: shape([])) }
    }
  }
}

@Suite struct RegistryTests {
  @Test func `kinds have unique names, formulas and sources`() {
    #expect(Set(ObjectiveRegistry.names).count == ObjectiveRegistry.all.count && ObjectiveRegistry.all.count == 24)
    for kind in ObjectiveRegistry.all {
      #expect(!kind.formula.isEmpty && !kind.source.isEmpty)
      #expect(Set(kind.options.map(\.name)).count == kind.options.count)
      #expect(ObjectiveRegistry.kind(kind.kind) == kind)
    }
  }

  @Test func `the table of the docs is the registry's`() throws {
    let page = try String(contentsOfFile: Shared.packageRoot + "/docs/objectives.md", encoding: .utf8)
    for line in ObjectiveRegistry.table.split(separator: "\n") { #expect(page.contains(line), "\(line)") }
  }

  @Test func `schedules go from their first to their last value`() {
    let linear = Scheduled(from: 4, to: 1)
    #expect((1...4).map { linear.value(step: $0, of: 4) } == [4, 3, 2, 1])
    let cosine = Scheduled(from: 0, to: 1, shape: .cosine)
    #expect(abs(cosine.value(step: 2, of: 3) - 0.5) < 1e-12 && cosine.value(step: 3, of: 3) == 1)
    #expect(linear.value(step: 1, of: 1) == 4 && Scheduled(2).value(step: 5, of: 9) == 2)
  }

  @Test func `layers are mapped as written, by share, or the last to the last`() {
    #expect(LayerMap.uniform.pairs(student: 2, teacher: 6) == [LayerPair(1, 3), LayerPair(2, 6)])
    #expect(LayerMap.uniform.pairs(student: 2, teacher: 5) == [LayerPair(1, 2), LayerPair(2, 5)])
    #expect(LayerMap.last.pairs(student: 3, teacher: 12) == [LayerPair(3, 12)])
  }
}
