import Autograd
import Collectives
import Models
import Objectives
import Optimizers
import Tensors
import TestSupport
import Testing

@testable import Training

/// Activation checkpointing: less is kept, and not a bit changes.
@Suite(.timeLimit(.minutes(2))) struct RecomputationTests {
  func trainer(_ isOn: Bool, _ precision: Precision, passTokens: Int = 2048) throws -> Trainer {
    try Trainer(
      TrainingConfiguration(
        seed: 7, totalSteps: 4, batchSize: 6, accumulation: 2, passTokens: passTokens,
        objective: DistillationObjective(crossEntropyWeight: 1, distillationWeight: 0, temperature: 1),
        schedule: Schedule(.constant, peak: 1e-2, warmup: 0, total: 4), precision: precision,
        activationCheckpointing: isOn),
      student: try TinyTask.model(hidden: 16, layers: 3), teacher: nil, train: try TinyTask.data(24),
      on: SoloCommunicator())
  }

  @Test(arguments: [Precision.fp32, .bf16]) func `training comes to the same bits, dropout included`(
    precision: Precision
  ) throws {
    let (plain, again) = (try trainer(false, precision), try trainer(true, precision))
    for step in 1...4 {
      let batch = (0..<6).map { (step * 6 + $0) % 24 }
      let (a, b) = (try plain.step(step, batch: batch, epoch: 0), try again.step(step, batch: batch, epoch: 0))
      #expect(a.loss == b.loss && a.gradientNorm == b.gradientNorm, "step \(step)")
    }
    try plain.settle()
    try again.settle()
    for (a, b) in zip(plain.student.weightTable, again.student.weightTable) {
      #expect(a.tensor.array.map(\.bitPattern) == b.tensor.array.map(\.bitPattern), "\(a.name)")
    }
  }

  @Test func `the backward pass of a part that is run again is that of finite differences`() {
    let w = trainedParameter("w", [8, 6], seed: 1, scale: 0.3)
    let v = trainedParameter("v", [6, 8], seed: 2, scale: 0.3)
    let x = randomTensor([5, 6], seed: 3)
    // One weight inside and outside, a residual around, two parts in a row.
    let error = worstGradientError(inputs: [x], parameters: [w, v]) { tape, inputs in
      func part(_ tape: Tape, _ x: Variable) -> Variable {
        tape.linear(tape.activation(.tanh, tape.linear(x, weight: w, bias: nil)), weight: v, bias: nil)
      }
      let first = tape.checkpoint(inputs[0], { part(tape, $0) }, recompute: part)
      let second = tape.checkpoint(first, { part(tape, $0) }, recompute: part)
      return tape.linear(second, weight: w, bias: nil)
    }
    #expect(error < 3e-3)
  }

  @Test func `a weight is told ready once, after its last use`() throws {
    let w = trainedParameter("w", [6, 6], seed: 1)
    let log = GradientLog()
    let tape = Tape(recording: true, observer: log)
    func part(_ tape: Tape, _ x: Variable) -> Variable { tape.linear(x, weight: w, bias: nil) }
    var y = part(tape, Variable(constant: randomTensor([5, 6], seed: 3)))
    for _ in 0..<3 { y = tape.checkpoint(y, { part(tape, $0) }, recompute: part) }
    try tape.observedBackward(from: tape.weightedElements(y, randomTensor([5, 6], seed: 4)))
    #expect(log.ready == ["w"] && log.operations == 8)
  }
}
