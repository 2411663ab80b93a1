import Autograd
import Tensors
import TestSupport
import Testing

/// Notes what a tape reports, in one list, and fails after a number of operations.
private final class Log: TapeObserver {
  let releasesWeights: Bool
  private var operationsLeft: Int
  var events: [String] = []

  init(releasesWeights: Bool = false, failingAfter operations: Int = .max) {
    self.releasesWeights = releasesWeights
    operationsLeft = operations
  }

  struct Failure: Error {}

  func enter(_ block: Int, _ direction: PassDirection) { events.append("\(direction) enters \(block)") }
  func leave(_ block: Int, _ direction: PassDirection) { events.append("\(direction) leaves \(block)") }
  func gradientNeeded(_ parameter: Parameter) { events.append("\(parameter.name) needed") }
  func gradientReady(_ parameter: Parameter) throws { events.append("\(parameter.name) ready") }
  func afterOperation() throws {
    operationsLeft -= 1
    if operationsLeft == 0 { throw Failure() }
  }
}

@Suite struct TapeObserverTests {
  let first = trainedParameter("a", [4, 4], seed: 1)
  let second = trainedParameter("b", [4, 4], seed: 2)

  private func pass(_ log: Log) throws {
    let tape = Tape(recording: true, observer: log)
    var x = Variable(constant: randomTensor([2, 4], seed: 3))
    x = tape.block(0) { tape.linear(x, weight: first, bias: nil) }
    x = tape.block(1) { tape.linear(x, weight: second, bias: nil) }
    try tape.observedBackward(from: tape.weightedElements(x, randomTensor([2, 4], seed: 4)))
  }

  @Test(arguments: [false, true])
  func `an observer sees blocks, needed and complete gradients in the order of the pass`(releases: Bool) throws {
    let log = Log(releasesWeights: releases)
    try pass(log)
    #expect(
      log.events == [
        "forward enters 0", "forward leaves 0", "forward enters 1", "forward leaves 1", "backward enters 1",
        "b needed", "b ready", "backward leaves 1", "backward enters 0", "a needed", "a ready", "backward leaves 0",
      ])
  }

  @Test func `an error of the observer ends the backward pass`() {
    let log = Log(failingAfter: 2)
    #expect(throws: Log.Failure.self) { try pass(log) }
    #expect(log.events.last == "b ready")
  }
}
