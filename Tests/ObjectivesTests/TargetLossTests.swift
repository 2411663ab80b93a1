import Autograd
import Datasets
import Foundation
import Tensors
import TestSupport
import Testing

@testable import Objectives

/// Objectives of scores and of several labels.
@Suite struct TargetLossTests {
  private func plan(_ term: ObjectiveTerm, rows: Int, labelled: Int? = nil, teachers: Int = 1) -> LogitsPlan {
    DistillationObjective([term], teachers: (0..<teachers).map { TeacherRole("t\($0)") }).logitsPlan(
      step: 1, of: 1, counts: StepCounts(rows: rows, labelled: labelled ?? rows, lengths: [], isCausal: false))
  }

  private let kinds = ["score_mse", "score_l1", "binary_cross_entropy", "bernoulli_kl", "logits_mse"]

  private func term(_ kind: String) throws -> ObjectiveTerm {
    ObjectiveTerm(try #require(ObjectiveRegistry.kind(kind)))
  }

  @Test func `gradients are those of finite differences`() throws {
    let values: [Float] = [1, 0, 0.5, 1, 1, 0, .nan, .nan, .nan, 0, 0, 1]
    let teacher = randomTensor([4, 3], seed: 5, scale: 2)
    for kind in kinds {
      let plan = plan(try term(kind), rows: 4, labelled: 3)
      let error = worstGradientError(inputs: [randomTensor([4, 3], seed: 8, scale: 2)], step: 2e-3) { tape, inputs in
        tape.logitsLoss(
          inputs[0], labels: [-1, -1, -1, -1], values: values, signals: [.logits(teacher)], plan: plan
        ).loss
      }
      #expect(error < 2e-3, "\(kind): \(error)")
    }
  }

  @Test func `values are the formulas', and rows without a target count only for the teacher's terms`() throws {
    let (s, t): ([Float], [Float]) = ([0.3, -1.5, 2, 0.1], [1, -1, 0.5, -2])
    let y: [Float] = [1, 0, .nan, .nan]
    func sum(_ kind: String) throws -> Double {
      Tape(recording: false).logitsLoss(
        Variable(constant: Tensor(s, [2, 2])), labels: [-1, -1], values: y, signals: [.logits(Tensor(t, [2, 2]))],
        plan: plan(try term(kind), rows: 2, labelled: 1)
      ).sums[0]
    }
    func sigma(_ x: Float) -> Double { 1 / (1 + exp(-Double(x))) }
    #expect(abs(try sum("score_mse") - (0.49 + 2.25) / 2) < 1e-6)
    #expect(abs(try sum("score_l1") - (0.7 + 1.5) / 2) < 1e-6)
    let entropy = -(log(sigma(0.3)) + log(1 - sigma(-1.5))) / 2
    #expect(abs(try sum("binary_cross_entropy") - entropy) < 1e-6)
    let divergence = zip(s, t).reduce(0.0) { sum, pair in
      let (q, p) = (sigma(pair.0 / 2), sigma(pair.1 / 2))
      return sum + 4 * (p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))) / 2
    }
    #expect(abs(try sum("bernoulli_kl") - divergence) < 1e-5)
    #expect(try sum("logits_mse") > 0)
  }

  @Test func `large logits neither overflow nor lose the value`() throws {
    let plan = plan(try term("binary_cross_entropy"), rows: 2)
    let loss = Tape(recording: false).logitsLoss(
      Variable(constant: Tensor([200, -200], [2, 1])), labels: [-1, -1], values: [0, 1], signals: [], plan: plan)
    #expect(loss.sums[0] == 400)
  }

  @Test func `every task names objectives that exist and are defined for its outputs`() throws {
    for kind in TaskKind.allCases {
      let (targets, teacher) = ObjectiveRegistry.defaults(of: kind.definition)
      #expect((targets == nil) == (kind.definition.objectives.targets == nil))
      if kind.definition.output == .vector {
        #expect(teacher is any InnerObjective.Type, "\(kind)")
        continue
      }
      for type in [targets, teacher] {
        let type = try #require(type as? any LogitsObjective.Type)
        #expect(type.outputs.contains(kind.definition.output), "\(kind): \(type.kind)")
      }
      #expect(!kind.definition.metrics.isEmpty)
    }
  }
}
