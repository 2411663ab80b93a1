import Collectives
import Tensors
import Testing

@testable import Training

@Suite struct ArithmeticLimitTests {
  private func settle(_ rounds: [(Double, Double)]) throws -> (ArithmeticLimit.Measurement, taken: Int, rests: Int) {
    var (taken, rests) = (0, 0)
    let result = try ArithmeticLimit.settle(on: SoloCommunicator()) {
      if taken == rounds.count { return nil }
      taken += 1
      return ProductMeter.Round(gigaflops: rounds[taken - 1].0, occupancy: rounds[taken - 1].1)
    } rest: {
      rests += 1
    }
    return (result, taken, rests)
  }

  @Test func `two undisturbed rounds that agree are enough`() throws {
    let (result, taken, rests) = try settle([(208, 1), (204, 0.99), (1, 1)])
    #expect(result.rates == [208] && result.isSteady && result.remark == nil)
    #expect(taken == 2 && rests == 0)
  }

  @Test func `two threads on one core agree with each other and settle nothing`() throws {
    let (result, taken, rests) = try settle([(34, 0.5), (34, 0.5), (34, 0.5), (207, 1), (208, 1), (1, 1)])
    #expect(result.rates == [208] && result.isSteady)
    #expect(taken == 5 && rests == 3)
  }

  @Test func `a slow round that nothing else explains is not believed before a better one`() throws {
    let (result, taken, _) = try settle([(150, 1), (208, 1), (180, 1), (207, 1)])
    #expect(result.rates == [208] && taken == 4)
  }

  @Test func `a measurement that stays disturbed says so, with its best rate`() throws {
    let (busy, _, _) = try settle([(34, 0.5), (100, 0.61), (34, 0.5)])
    #expect(busy.rates == [100] && !busy.isSteady)
    #expect(busy.remark?.contains("had 61 % of their cores") == true)
    let (unsteady, _, _) = try settle([(50, 1), (100, 1)])
    #expect(unsteady.remark?.contains("did not agree") == true)
  }

  @Test func `the real one ends within its budget`() throws {
    let clock = ContinuousClock()
    var result: ArithmeticLimit.Measurement?
    let time = try clock.measure { result = try ArithmeticLimit.measure(.fp32, budget: 0.1, on: SoloCommunicator()) }
    #expect(result?.rates.first ?? 0 > 0)
    // Far above the budget: other tests run at the same time.
    #expect(time < .seconds(20))
  }
}
