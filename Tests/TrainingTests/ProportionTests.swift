import Testing

@testable import Training

@Suite struct ProportionTests {
  @Test func `intervals are Wilson's`() {
    // The formula in double precision by another program; the ends for 8 of 10 are also those of textbooks.
    for (correct, count, low, high) in [
      (812, 872, 0.9124313, 0.9461716), (8, 10, 0.4901625, 0.9433178), (0, 10, 0, 0.2775328), (10, 10, 0.7224672, 1),
      (1, 2, 0.0945312, 0.9054688),
    ] {
      let interval = Proportion(correct, of: count).interval
      #expect(abs(interval.lowerBound - low) < 1e-6 && abs(interval.upperBound - high) < 1e-6, "\(correct): \(interval)")
    }
    #expect(Proportion(0, of: 0).interval == 0...1)
  }

  @Test func `a difference is measured by both models' own spread`() {
    let (sure, guess) = (Proportion(990, of: 1000), Proportion(500, of: 1000))
    // z √(p₁q₁/n + p₂q₂/n) with one right and one wrong answer added to each: between equal guesses 4.4 points.
    #expect(abs(guess.smallestDifference(to: guess) - 0.04378) < 1e-4)
    #expect(abs(sure.smallestDifference(to: guess) - 0.03163) < 1e-4)
    #expect(sure.smallestDifference(to: guess) == guess.smallestDifference(to: sure))
    // A plain formula would say that any difference between two perfect models says something.
    #expect(Proportion(8, of: 8).smallestDifference(to: Proportion(8, of: 8)) > 0.2)
  }

  @Test func `only classifiers have a share of right answers`() {
    #expect(EvaluationResult(confusion: [3, 1, 0, 4], classCount: 2, loss: 0).proportion == Proportion(7, of: 8))
    #expect(EvaluationResult(predictedTokens: 9, loss: 0).proportion == nil)
    #expect(EvaluationResult(confusion: [0, 0, 0, 0], classCount: 2, loss: 0).proportion == nil)
  }
}
