import Platform
import Testing

@testable import Training

@Suite struct TrainingStateTests {
  private func json(_ changes: [String: JSON] = [:], best: [String: JSON] = [:]) -> JSON {
    let record: [String: JSON] = [
      "step": 4, "epoch": 1.5, "metric": "accuracy", "loss": 0.5, "classes": 2, "confusion": [3, 1, 0, 4], "count": 8,
    ]
    let state: [String: JSON] = [
      "step": 6, "evaluations_since_best": 1, "stopped": false, "best": .object(record.merging(best) { $1 }),
    ]
    return .object(state.merging(changes) { $1 })
  }

  @Test func `a state that was written is read back`() throws {
    let state = try TrainingState(json(), stageSteps: [10])
    #expect(state.step == 6 && state.best?.step == 4 && state.best?.result.correct == 7)
    #expect(try TrainingState(JSON(parsing: state.json.text()), stageSteps: [10]) == state)
    #expect(try TrainingState(TrainingState().json, stageSteps: [10]) == TrainingState())
    var faulty = state
    faulty.leaveOut([9, 5, 6])
    (faulty.skippedInARow, faulty.returns) = (2, 1)
    #expect(faulty.leftOut == [5, 6, 9] && faulty.leftOutOfStage == 2)
    #expect(try TrainingState(JSON(parsing: faulty.json.text()), stageSteps: [10]) == faulty)
  }

  @Test(
    arguments: [
      ["step": -1], ["step": 11], ["step": 4_294_967_296], ["step": 1e300], ["step": 0.5], ["step": "6"], ["step": nil],
      ["evaluations_since_best": -1], ["evaluations_since_best": 7], ["stopped": 1], ["best": 3], ["left_out": [3, 3]],
      ["left_out": [0]], ["left_out": [11]], ["left_out": ["a"]], ["skipped_in_a_row": 7], ["returns": 2],
    ] as [[String: JSON]]) func `a state that no run can have written is refused`(change: [String: JSON])
  {
    #expect(throws: RetortError.self) { try TrainingState(json(change), stageSteps: [10]) }
  }

  @Test(arguments: [.infinity, -.infinity, .nan] as [Double])
  func `a loss that overflowed is read back`(loss: Double) throws {
    var state = try TrainingState(json(), stageSteps: [10])
    state.best?.result = EvaluationResult(confusion: [3, 1, 0, 4], classCount: 2, loss: loss)
    let read = try TrainingState(JSON(parsing: state.json.text()), stageSteps: [10]).best?.result.loss
    #expect(read == loss || (loss.isNaN && read?.isNaN == true))
  }

  @Test(
    arguments: [
      ["stopped": true, "evaluations_since_best": 0], ["evaluations_since_best": 1],
      ["step": 10, "evaluations_since_best": 0],
    ] as [[String: JSON]]) func `what comes with an evaluation needs the best one`(change: [String: JSON])
  {
    guard case .object(var members) = json(change) else { return }
    members["best"] = nil
    #expect(throws: RetortError.self) { try TrainingState(.object(members), stageSteps: [10]) }
  }

  @Test(
    arguments: [
      ["step": 7], ["step": -1], ["epoch": -1], ["epoch": nil], ["metric": "speed"], ["loss": nil], ["loss": "low"],
      ["classes": 4_294_967_296], ["classes": -2], ["classes": 3], ["classes": 0], ["confusion": [3, 1, 0]],
      ["confusion": [3, -1, 2, 4]], ["confusion": [3, 1, 0, 9_223_372_036_854_775_807]], ["confusion": 1],
      ["confusion": [9_223_372_036_854_775_807, 9_223_372_036_854_775_807, 1, 1]], ["count": 9], ["count": -8],
      ["count": 9_223_372_036_854_775_807],
    ] as [[String: JSON]]) func `a best evaluation that cannot have been is refused`(change: [String: JSON])
  {
    #expect(throws: RetortError.self) { try TrainingState(json(best: change), stageSteps: [10]) }
  }
}
