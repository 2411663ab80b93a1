import Autograd
import Tensors
import TestSupport
import Testing

@testable import Training

@Suite struct FlatParametersTests {
  func parameters() -> [Parameter] {
    [(3, true), (50, false), (7, true), (100, true), (1, false)].enumerated().map { index, shape in
      Parameter("p\(index)", randomTensor([shape.0], seed: UInt64(index)), decays: shape.1)
    }
  }

  @Test(arguments: [1, 2, 3, 4, 7]) func `buckets cover the buffer and every rank owns an equal block of each`(
    ranks: Int
  ) throws {
    let flat = try FlatParameters(parameters(), ranks: ranks, bucketBytes: 200)
    #expect(flat.buckets.first?.lowerBound == 0 && flat.buckets.last?.upperBound == flat.count)
    for (a, b) in zip(flat.buckets, flat.buckets.dropFirst()) { #expect(a.upperBound == b.lowerBound) }
    var owners = [Int](repeating: 0, count: flat.count)
    for rank in 0..<ranks {
      for range in flat.ownedRanges(rank: rank) { for element in range { owners[element] += 1 } }
      let segments = flat.segments(of: flat.ownedRanges(rank: rank))
      #expect(segments.flatMap { Array($0.range) } == flat.ownedRanges(rank: rank).flatMap { Array($0) })
    }
    #expect(owners.allSatisfy { $0 == 1 })
  }

  @Test func `values move into the buffer, last parameter first, and decay follows them`() throws {
    let list = parameters()
    let before = list.map(\.value.array)
    let flat = try FlatParameters(list, ranks: 2, bucketBytes: 200)
    #expect(list.map(\.value.array) == before)
    #expect(flat.parameters.first === list.last)
    for (parameter, range) in zip(flat.parameters, flat.ranges) {
      parameter.gradient!.fill(1)
      #expect(flat.gradients.floats[range.lowerBound] == 1)
      for rank in 0..<2 {
        for segment in flat.segments(of: flat.ownedRanges(rank: rank)) where segment.range.overlaps(range) {
          #expect(segment.decays == parameter.decays)
        }
      }
    }
  }
}

@Suite struct EvaluationResultTests {
  @Test func `accuracy, F1, Matthews and balanced accuracy of a known confusion`() throws {
    // labels 0: 50 right, 10 wrong; labels 1: 5 wrong, 35 right
    let result = EvaluationResult(confusion: [50, 10, 5, 35], classCount: 2, loss: 0.3)
    #expect(result.accuracy == 0.85 && result.correct == 85 && result.count == 100)
    #expect(abs(result.value(.f1) - 70.0 / 85) < 1e-12)
    let denominator = (45.0 * 40 * 60 * 55).squareRoot()
    #expect(abs(result.value(.matthews) - (35.0 * 50 - 10 * 5) / denominator) < 1e-12)
    #expect(abs(result.balancedAccuracy - (50.0 / 60 + 35.0 / 40) / 2) < 1e-12)
  }

  @Test func `a model that always says one class is at 1/k, however often it is right`() throws {
    let result = EvaluationResult(confusion: [95, 0, 5, 0], classCount: 2, loss: 1)
    #expect(result.accuracy == 0.95 && result.balancedAccuracy == 0.5 && result.value(.matthews) == 0)
  }
}
